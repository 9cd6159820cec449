#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Makes this machine the collector or a node; it is run in it, as root, by vagrant/Vagrantfile. What is as it should be is left alone.
#   provision.sh collector|node NAME ADDRESS [NAME=ADDRESS]...   installs, makes the machine's key, writes settings, starts the service
#   provision.sh allow [NAME KEY]...                             on the collector: these agents may connect
#   provision.sh server KEY                                      on a node: the collector's key; the agent starts
#   provision.sh wait [NAME]...                                  on the collector: until their agents are connected
# $BOP_BUILD: packages (build/deb/*.deb of the checkout), source, or nothing: packages if they are not older than the sources.
set -eu -o pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022

PORT=7100
KEYS=/etc/bop/keys
STATE=/var/local/box-of-pain # what was installed last
CHECKOUT=${BOP_CHECKOUT:-/vagrant}
# what programs and services are made of
SOURCES=(Makefile bpf collector debian examples graph ldfi lib libbop proto systemd tfj)
PACKAGES=(bop tfj bop-examples)

fail() { echo "provision.sh: $*" >&2; exit 1; }
say() { echo "$(hostname): $*"; }

# FILE: the text on stdin, for everybody to read.
put() {
	local text
	text=$(cat; echo .)
	[ -e "$1" ] && [ "$(cat "$1"; echo .)" = "$text" ] && [ "$(stat -c %a "$1")" = 644 ] && return
	changed=yes
	mkdir -p "$(dirname "$1")"
	printf %s "${text%.}" >"$1.new"
	chmod 644 "$1.new"
	mv "$1.new" "$1"
	say "wrote $1"
}

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# An archive is asked only if something is missing, and its lists are fetched only if that fails with those that are there.
apt() {
	local log=$STATE/apt.log
	apt-get install -y -q --no-install-recommends "$@" >"$log" 2>&1 && return
	{ dpkg --configure -a && apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; } >>"$log" 2>&1 && return
	tail -n 5 "$log" >&2
	fail "apt could not install $* (all it said is in $log on $(hostname)); a machine without a way out needs a box that has it: vagrant/box"
}

deb_of() { [ ! -d "$CHECKOUT/build/deb" ] || find "$CHECKOUT/build/deb" -maxdepth 1 -name "$1_*.deb" | sort -V | tail -n 1; }

how_to_build() {
	local deb
	case ${BOP_BUILD:-} in source | packages) echo "$BOP_BUILD"; return ;; esac
	deb=$(deb_of bop)
	[ -n "$deb" ] || { echo source; return; }
	[ -z "$(cd "$CHECKOUT" && find "${SOURCES[@]}" -type f -newer "$deb" -print -quit)" ] && echo packages && return
	echo "the packages in build/deb are older than the sources: builds these" >&2
	echo source
}

install_packages() {
	local debs=() deb sum name
	for name in "${PACKAGES[@]}"; do
		deb=$(deb_of "$name")
		[ -n "$deb" ] || fail "there is no $name package in build/deb of the checkout: run \`make deb\` on the host, then \`vagrant rsync\`; or set BOP_BUILD=source"
		debs+=("$deb")
	done
	sum=$(sha256sum "${debs[@]}")
	installed bop && installed tfj && installed bop-examples && [ "$(cat $STATE/packages 2>/dev/null)" = "$sum" ] && return
	changed=yes
	[ ! -e $STATE/source ] || make -s -C "$CHECKOUT" uninstall
	rm -f $STATE/source
	apt --reinstall --allow-downgrades "${debs[@]}"
	echo "$sum" >$STATE/packages
	say "installed the packages"
}

install_source() {
	local sum name jobs
	sum=$(cd "$CHECKOUT" && find "${SOURCES[@]}" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
	[ -x /usr/local/bin/bop ] && [ "$(cat $STATE/source 2>/dev/null)" = "$sum" ] && return
	changed=yes
	for name in "${PACKAGES[@]}"; do
		! installed "$name" || dpkg --remove --force-depends "$name" >/dev/null
	done
	rm -f $STATE/packages
	installed make || apt make
	make -s -C "$CHECKOUT" deps || fail "\`make deps\` could not install what the build needs; a machine without a way out needs a box that has it: vagrant/box"
	jobs=$(awk -v most="$(nproc)" '/^MemTotal:/ { n = int($2 / 500000); print n < 1 ? 1 : n < most ? n : most }' /proc/meminfo) # a compiler needs some memory
	say "builds the checkout, which takes minutes"
	make -C "$CHECKOUT" -j"$jobs" all >$STATE/build.log 2>&1 || { tail -n 20 $STATE/build.log >&2; fail "the build failed: $STATE/build.log on $(hostname)"; }
	make -s -C "$CHECKOUT" install >$STATE/install.log 2>&1 || { tail -n 20 $STATE/install.log >&2; fail "make install failed: $STATE/install.log on $(hostname)"; }
	echo "$sum" >$STATE/source
	say "built and installed the checkout"
}

install_what_is_missing() {
	case $(how_to_build) in
	packages) install_packages ;;
	*) install_source ;;
	esac
}

# All machines by name, and this one not by its loopback.
hosts() {
	local pair
	[ -e /etc/hosts ] || echo "127.0.0.1 localhost" >/etc/hosts
	{
		sed '/^# box-of-pain begin$/,/^# box-of-pain end$/d' /etc/hosts | awk -v name="$NAME" '
			/^127\./ {
				rest = $1
				for (i = 2; i <= NF; i++)
					if ($i != name)
						rest = rest " " $i
				if (split(rest, words) < NF)
					$0 = rest
				if (NF == 1)
					next
			}
			{ print }'
		echo "# box-of-pain begin"
		for pair in "$@"; do echo "${pair#*=} ${pair%%=*}"; done
		echo "# box-of-pain end"
	} >$STATE/hosts
	put /etc/hosts <$STATE/hosts
}

key() {
	[ -e "$KEYS/$1.secret" ] && return
	rm -f "$KEYS/$1.public"
	bop keys make "$1" >/dev/null
	say "made a key"
}

# UNIT: started if it does not run, started again if what it is made of changed.
service() {
	if [ $changed = yes ]; then
		systemctl daemon-reload
		systemctl --quiet reenable "$1"
		systemctl restart "$1"
	elif ! systemctl --quiet is-active "$1" || ! systemctl --quiet is-enabled "$1"; then
		systemctl --quiet enable --now "$1"
	else
		return 0
	fi
	say "started $1"
}

collector() {
	key server
	put /etc/default/bop-serve <<<"BOP_SERVE_OPTIONS=\"--listen tcp://$ADDRESS:$PORT\""
	service bop-serve
}

# The agent starts when the collector's key has come.
node() {
	local pair server=
	key "$NAME"
	for pair in "$@"; do [ "${pair%%=*}" != collector ] || server=${pair#*=}; done
	[ -n "$server" ] || fail "none of the machines is called collector"
	put /etc/default/tfj <<-END
		TFJ_OPTIONS="--collector tcp://$server:$PORT --server-key $KEYS/server.public --key $KEYS/$NAME.secret --box $NAME=host@$ADDRESS"
	END
	[ ! -e $KEYS/server.public ] || service tfj
}

allow() {
	local name key has
	while [ $# -ge 2 ]; do
		name=$1 key=$2
		shift 2
		has=$(awk -v name="$name" '$1 == name { print $2 }' $KEYS/allowed 2>/dev/null || true)
		[ "$has" != "$key" ] || continue
		[ -z "$has" ] || bop keys remove "$name" >/dev/null
		bop keys allow "$name" "$key" >/dev/null
		say "lets $name in"
	done
}

server() {
	[ -e /etc/default/tfj ] || fail "$(hostname) is no node yet"
	put $KEYS/server.public <<<"$1"
	service tfj
}

# An agent connects when its programs are in the kernel: without kvm that takes a while. The others may go on meanwhile.
wait_for() {
	local name here missing=
	flock -u 9
	for _ in {1..150}; do
		here=$(bop boxes 2>/dev/null | awk '/^[^ ]/ { print $1 }') || true
		missing=
		for name; do grep -qxF -- "$name" <<<"$here" || missing+=" $name"; done
		[ -n "$missing" ] || return 0
		sleep 2
	done
	say "no agent of$missing has connected in 300 s: \`journalctl -u tfj\` there says why"
}

[ "$(id -u)" = 0 ] || fail "run it as root"
mkdir -p $STATE
echo 'DPkg::Lock::Timeout "300";' >$STATE/apt.conf # a machine that has just booted may be busy with updates of its own
export APT_CONFIG=$STATE/apt.conf
changed=no
exec 9>$STATE/lock
flock 9 # another machine may tell us its key meanwhile
case ${1:-} in
collector | node)
	[ $# -ge 3 ] || fail "give a role, a name, an address, and the machines as NAME=ADDRESS"
	[ -e "$CHECKOUT/Makefile" ] || fail "there is no checkout in $CHECKOUT"
	role=$1 NAME=$2 ADDRESS=$3
	shift 3
	hosts "$@"
	changed=no
	install_what_is_missing
	"$role" "$@"
	;;
allow) shift; allow "$@" ;;
server) [ $# = 2 ] || fail "give the collector's key"; server "$2" ;;
wait) shift; wait_for "$@" ;;
*) fail "the first word is collector, node, allow, server or wait, not '${1:-}'" ;;
esac
