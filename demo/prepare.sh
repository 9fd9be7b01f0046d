# What both demos need before they can begin; to be sourced.

. "$(dirname "${BASH_SOURCE[0]}")/../test/debian.sh"

fail() { echo "demo: $*" >&2; exit 1; }

# Print the Debian packages that are missing to build and run the extension.
missing_server_packages() {
	local version
	if [[ -z $(find_pg_config) ]]; then
		# Debian's own choice; its package "postgresql" has it as version.
		version=$(apt-cache policy postgresql 2>/dev/null |
			sed -n 's/^ *Candidate: \([0-9]*\).*/\1/p')
		echo "postgresql-${version:-15}" "postgresql-server-dev-${version:-15}"
	fi
	type -P gcc >/dev/null || echo gcc libc6-dev
	type -P make >/dev/null || echo make
}

# Install what missing_packages, the demo's own, prints; root only.  Anybody
# else is told the names.  Sets PG_CONFIG.
install_packages() {
	local packages log
	packages=$(missing_packages)
	if [[ -n $packages && $(id -u) -eq 0 ]]; then
		# The first list may be of a machine that does not know any package yet.
		echo "installing packages ..."
		log=$(mktemp)
		{ apt-get update && packages=$(missing_packages) &&
			apt_install $packages; } \
			>"$log" 2>&1 ||
			{ tail -n 20 "$log" >&2; rm "$log"
			fail "packages could not be installed"; }
		rm "$log"
		packages=$(missing_packages)
	fi
	[[ -z $packages ]] || fail "these packages are needed:" $packages
	PG_CONFIG=$(find_pg_config)
	export PG_CONFIG
}
