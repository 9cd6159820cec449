/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which programs make which backend. A program's section says where it is hooked, and with that to which backend it belongs;
 * the kernel's BTF says whether there is such a place. That it works is known only once it is loaded and attached.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "tfj/tracer_backend.h"
#include "tfj/tracer_kernel.h"

const char *const backend_names[BACKEND_COUNT] = {
#define X(id, name, text) [BACKEND_##id] = name,
	BACKENDS(X)
#undef X
};

const char *const backend_texts[BACKEND_COUNT] = {
#define X(id, name, text) [BACKEND_##id] = text,
	BACKENDS(X)
#undef X
};

#define SEND_ENTRY "tp_btf/tcp_sendmsg_locked"

/* Hooks of the tracepoint backend; all other tracepoints are shared. */
static const char *const tracepoint_only[] = {SEND_ENTRY, "tp_btf/sock_send_length", "tp_btf/sock_recv_length"};

/* The same moment: the tracepoint (since 6.11) costs nothing where there is no exec. */
#define EXEC_TRACEPOINT "sched_prepare_exec"
#define EXEC_FUNCTION "begin_new_exec"

/*
 * Places that only some kernels have. tcp_sendpage until 6.5, where nothing is lost without it; udp and unix functions in kernels
 * with IPv6 and with unix-domain sockets; for the others see `tfj probe`.
 */
static const char *const optional[] = {EXEC_TRACEPOINT, EXEC_FUNCTION,	     "tcp_sendpage",	    "tcp_cong_state_set",
				       "io_uring_complete", "udpv6_sendmsg", "udpv6_recvmsg", "unix_stream_sendmsg",
				       "unix_stream_recvmsg"};

static int is_among(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(words[i], word))
			return 1;
	return 0;
}

static int begins_with(const char *text, const char *head)
{
	return !strncmp(text, head, strlen(head));
}

int backend_find(const char *name)
{
	for (int i = 0; i < BACKEND_COUNT; i++)
		if (!strcmp(backend_names[i], name))
			return i;
	return -1;
}

int program_is_shared(const struct bpf_program *program)
{
	for (int i = 0; i < BACKEND_COUNT; i++)
		if (backend_has((enum backend)i, program))
			return 0;
	return 1;
}

int backend_has(enum backend backend, const struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);

	switch (backend) {
	case BACKEND_LATE:
		if (!strcmp(section, SEND_ENTRY))
			return 0;
		/* fall through */
	case BACKEND_TRACEPOINT:
		return is_among(tracepoint_only, sizeof(tracepoint_only) / sizeof(tracepoint_only[0]), section);
	case BACKEND_FENTRY:
		return begins_with(section, "fentry/") || begins_with(section, "fexit/");
	case BACKEND_KPROBE:
		return begins_with(section, "kprobe/") || begins_with(section, "kretprobe/");
	case BACKEND_COUNT:
		break;
	}
	return 0;
}

/* Does the kernel have the place where this program is hooked, and nothing better? */
static int place_exists(struct btf *btf, const char *section)
{
	const char *place = strchr(section, '/');

	if (!place || begins_with(section, "iter/"))
		return 1; /* a perf event: tried elsewhere; tasks can be walked since 5.8 */
	if (!strcmp(place + 1, EXEC_FUNCTION) && tracer_has(btf, EXEC_TRACEPOINT))
		return 0;
	if (begins_with(section, "tp_btf/"))
		return tracer_has(btf, place + 1);
	return btf__find_by_name_kind(btf, place + 1, BTF_KIND_FUNC) > 0;
}

int backend_choose(enum backend backend, struct bpf_object *object, struct btf *btf, struct error *e)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object) {
		const char *section = bpf_program__section_name(program), *place = strchr(section, '/');
		int wanted = program_is_shared(program) || backend_has(backend, program);

		if (wanted && btf && !place_exists(btf, section)) {
			if (!is_among(optional, sizeof(optional) / sizeof(optional[0]), place + 1))
				return error_set(e, -ENOTSUP, "this kernel has no %s %s",
						 begins_with(section, "tp_btf/") ? "tracepoint" : "function", place + 1);
			wanted = 0;
		}
		bpf_program__set_autoload(program, wanted);
	}
	return 0;
}

unsigned int backend_recv_flags(struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "tcp_recvmsg", BTF_KIND_FUNC);
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;

	if (type)
		type = btf__type_by_id(btf, type->type);
	return type && btf_vlen(type) == 6 ? 4 : 3;
}
