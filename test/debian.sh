# What the scripts of test/ and demo/ ask of Debian: packages and servers.  To be
# sourced by bash.

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Prints those of the packages that are not installed.
not_installed() { # packages...
	local package

	for package in "$@"; do
		installed "$package" || printf '%s ' "$package"
	done
}

apt_install() { # packages...
	DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y install --no-install-recommends "$@" </dev/null
}

# Prints a pg_config whose server and headers are there: PG_CONFIG, or the newest
# version, or whatever is on the PATH.
find_pg_config() {
	local candidate

	for candidate in ${PG_CONFIG:-$(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -rV) \
		$(command -v pg_config)}; do
		if [ -f "$("$candidate" --pgxs 2>/dev/null)" ] &&
			[ -f "$("$candidate" --includedir-server)/postgres.h" ] &&
			[ -x "$("$candidate" --bindir)/initdb" ]; then
			command -v "$candidate"
			return
		fi
	done
	return 1
}
