# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# A private apt for Debian 12's packages and sources: own lists, own (empty) dpkg status.
# Nothing of the host's package system changes. Source it after setting xen_dir.

# apt_setup: sets apt_opts, and reads the package lists the first time. The mirror is the host's; the
# release is bookworm whatever the host runs.
apt_setup() {
	local a=${xen_dir:?is to be set by the caller}/apt
	apt_opts=(-c "$a/apt.conf")
	[ ! -e "$a/updated" ] || return 0
	mkdir -p "$a/lists/partial" "$a/cache/archives/partial" "$a/parts"
	: >"$a/status"
	/usr/bin/python3 - >"$a/sources.list" <<-'END'
	import glob, re, sys
	uris = {}
	for f in glob.glob("/etc/apt/sources.list") + glob.glob("/etc/apt/sources.list.d/*"):
	    for line in open(f):
	        for uri in re.findall(r"(?:https?|file)://\S+", line.split("#")[0]):
	            uri = uri.rstrip("/")
	            if uri.endswith("/debian") or uri.endswith("/debian-security"):
	                uris.setdefault(uri.rsplit("/", 1)[1], uri)
	if "debian" not in uris:
	    sys.exit("no Debian mirror found in /etc/apt")
	opts = "[arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
	for name, suites in (("debian", ("bookworm",)), ("debian-security", ("bookworm-security",))):
	    for suite in suites if name in uris else ():
	        print("deb", opts, uris[name], suite, "main")
	print("deb-src", opts, uris["debian"], "bookworm main")
	END
	cat >"$a/apt.conf" <<-END
	APT::Architecture "amd64";
	APT::Architectures { "amd64"; };
	APT::Sandbox::User "root";
	Acquire::Languages "none";
	Acquire::Retries "3";
	Dir::State "$a";
	Dir::State::status "$a/status";
	Dir::State::lists "$a/lists";
	Dir::Cache "$a/cache";
	Dir::Etc::sourcelist "$a/sources.list";
	Dir::Etc::sourceparts "$a/parts";
	END
	note "reading Debian's package lists"
	apt-get "${apt_opts[@]}" -qq update >&2 || die "Debian's package lists can't be read"
	touch "$a/updated"
}
