# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for bop and tfj. Needs nothing but bash; source it, or let bash-completion find it where
# `make install` puts it. Names of files are left to readline, which knows quotes, spaces and ~.

_bop_words() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_bop_files() {
	COMPREPLY=()
	compopt -o default 2>/dev/null || true
}

# The value of --store among the words, which bash has cut at = and : (sqlite:FILE, postgresql://...).
_bop_store() {
	local i store=
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == --store ]] || continue
		[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
		store=${COMP_WORDS[++i]}
		while [[ ${COMP_WORDS[i]} == [:=] || ${COMP_WORDS[i + 1]} == [:=] ]]; do
			store+=${COMP_WORDS[++i]}
		done
	done
	store=${store//[\"\'\\]/}
	printf '%s' "${store/#\~\//$HOME/}"
}

# --server or --server=URL, if that is among the words.
_bop_server() {
	local i server=
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == --server ]] || continue
		server=--server
		[[ ${COMP_WORDS[i + 1]} == = ]] || continue
		server+==${COMP_WORDS[i + 2]}
		((i += 2))
		while [[ ${COMP_WORDS[i]} == : || ${COMP_WORDS[i + 1]} == : ]]; do
			server+=${COMP_WORDS[++i]}
		done
	done
	printf '%s' "${server//[\"\'\\]/}"
}

# Numbers of the runs in the store, or of the server, and last.
_bop_runs() {
	local program=${1/#\~\//$HOME/} store server
	store=$(_bop_store)
	server=$(_bop_server)
	_bop_words "last $("$program" runs --json ${store:+--store "$store"} ${server:+"$server"} 2>/dev/null |
		grep -oE '"run": ?[0-9]+' | grep -oE '[0-9]+')"
	compopt -o nosort 2>/dev/null
}

# Experiments of which there are runs.
_bop_experiments() {
	local program=$1 i store= server=
	for ((i = 2; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == --store ]] && store=${COMP_WORDS[i + 1]}
		[[ ${COMP_WORDS[i]} == --server ]] && server=--server
	done
	_bop_words "$("$program" runs --json ${store:+--store "$store"} ${server:+"$server"} 2>/dev/null |
		grep -oE '"experiment": ?"[A-Za-z0-9_.-]+"' | cut -d '"' -f 4 | sort -u)"
}

_bop() {
	local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} i given=0
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		_bop_words 'run replay minimize ldfi runs history show graph diff export import rm gc serve boxes events inject lift faults keys --help --version'
		return
	fi
	# --option=VALUE comes as three words, and so does sqlite:FILE
	if [[ $cur == = ]]; then
		cur=
	elif [[ $before == = ]]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $cur == : ]]; then
		before=:
	fi
	case $before in
	--store | --keys | --dir | --out | -o | --plan | -p | :) _bop_files && return ;;
	--order) _bop_words 'process thread' && return ;;
	--runs | -n | --fault | -f | --seed | --run | --box | --losses-until | --losses | --crashes | --boxes | --processes | --confirm | --until-stable | --otlp | --timeout | --older-than | --max-size | --keep-last | --experiment) return ;;
	--strategy) _bop_words 'ldfi random' && return ;;
	--level) _bop_words 'exact folded shape' && return ;;
	--listen | --listen-api) _bop_words 'tcp://' && compopt -o nospace 2>/dev/null && return ;;
	--server | --api)
		if [[ $command != @(run|replay|minimize|ldfi|runs|history|show|graph|diff|export|rm) || ${COMP_WORDS[COMP_CWORD - 1]} == = || ${COMP_WORDS[COMP_CWORD]} == = ]]; then
			_bop_words 'ipc:// tcp://'
			compopt -o nospace 2>/dev/null
			return
		fi
		;;
	--send) _bop_words 'live deferred' && return ;;
	--keep) _bop_words 'new all' && return ;;
	--kind | -k) _bop_words 'start exec spawn wait exit listen connect accept send recv close reset lost mark armed fired lifted expired' && return ;;
	esac
	if [[ $cur == -* ]]; then
		case $command in
		run) _bop_words '-n --runs --until-stable --level --symmetric -f --fault -p --plan --dry-run --racy --seed --store --server --api --prints --json --send --keep --keep-dir -h --help' ;;
		replay) _bop_words '-n --runs --until-stable --level --symmetric --store --server --json --keep --keep-dir -h --help' ;;
		minimize) _bop_words '--store --server --json -h --help' ;;
		ldfi) _bop_words '--losses-until --losses --crashes --boxes --processes --workloads --thorough --no-symmetry -a --all --strategy -n --runs --seed --confirm -o --out --store --server --json -h --help' ;;
		runs) _bop_words '--prints --store --server --json -h --help' ;;
		history) _bop_words '--level --symmetric -o --out --explain -a --all --store --server --json -h --help' ;;
		show) _bop_words '-a --all --output --order --json --store --server -h --help' ;;
		graph) _bop_words '-o --out --order -a --all --store --server -h --help' ;;
		diff) _bop_words '-o --out -a --all --json --store --server -h --help' ;;
		export) _bop_words '-o --out --otlp --timeout -a --all --json --store --server -h --help' ;;
		import) _bop_words '--json --store -h --help' ;;
		rm) _bop_words '--store --server -h --help' ;;
		gc) _bop_words '--older-than --max-size --keep-last --violated --experiment --dry-run --json --store -h --help' ;;
		serve) _bop_words '--agent --box --listen --listen-api --store --dir --keys --parent-death -h --help' ;;
		boxes) _bop_words '--server --json -h --help' ;;
		events) _bop_words '--run -k --kind --server --json -h --help' ;;
		inject) _bop_words '-p --plan --run --dry-run --racy --seed --server -h --help' ;;
		lift) _bop_words '--run --server -h --help' ;;
		faults) _bop_words '--run --server --json -h --help' ;;
		keys) _bop_words '--controller --keys --json -h --help' ;;
		esac
		return
	fi
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--store | --keys | --dir | --box | --listen | --listen-api | --out | -o | --order | --send | --kind | -k | --runs | -n | --fault | -f | --plan | -p | --seed | --run | \
			--losses-until | --losses | --crashes | --boxes | --processes | --confirm | --strategy | --level | --until-stable | --otlp | --timeout | --older-than | --max-size | --keep-last | --experiment)
			[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
			((i++))
			;;
		--server | --api) [[ ${COMP_WORDS[i + 1]} == = ]] && ((i += 2)) ;;
		: | -*) ;;
		*) [[ ${COMP_WORDS[i - 1]} == : ]] || ((given++)) ;;
		esac
	done
	case $command in
	run | ldfi) ((given)) || _bop_files ;;
	show | graph | replay | minimize) ((given)) || _bop_runs "$1" ;;
	diff) ((given < 2)) && _bop_runs "$1" ;;
	rm | export) _bop_runs "$1" ;;
	import) ((given)) || _bop_files ;;
	keys) ((given)) && _bop_files || _bop_words 'make allow remove' ;;
	esac
}

_tfj() {
	local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} i agent=0
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == --collector ]] && agent=1
	done
	if [[ $cur == = ]]; then
		cur=
	elif [[ $before == = ]]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if [[ $before == --collector ]]; then
		_bop_words 'ipc:// tcp://'
		compopt -o nospace 2>/dev/null
	elif [[ $before == --key || $before == --server-key || $before == : || $cur == : ]]; then
		_bop_files
	elif [[ $before == --backend ]]; then
		_bop_words 'tracepoint fentry kprobe tracepoint-late'
	elif ((COMP_CWORD == 1)); then
		_bop_words 'probe clean containers --collector --server-key --key --box --memory --spool --backend --no-faults --no-syn-option --json -h --help -V --version'
	elif ((agent)); then
		_bop_words '--server-key --key --box --memory --spool --backend --no-faults --no-syn-option'
	elif ((COMP_CWORD == 2)); then
		case $before in
		probe | containers) _bop_words '--json' ;;
		--json) _bop_words 'probe containers' ;;
		esac
	fi
}

complete -F _bop bop
complete -F _tfj tfj
