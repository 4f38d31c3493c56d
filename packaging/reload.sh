#!/bin/sh
# After installing, upgrading and removing: tell systemd that its units have changed. DPKG_ROOT is set in another root.
if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
