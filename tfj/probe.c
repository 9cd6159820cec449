/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `tfj probe`: what can be traced here? Every answer comes from loading and attaching the very programs that would do
 * the work; a kernel's version or configuration is never asked. Leaves nothing attached.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "tfj/rights.h"
#include "tfj/tracer.h"
#include "tfj/tracer_kernel.h"

/* X(id, name, required, programs, what serves it, what is lost without it) */
#define CAPABILITIES(X)                                                                                                \
	X(TASKS, "processes", 1, "on_newtask on_exec on_exit",                                                         \
	  "tracepoints task_newtask, sched_process_exec, sched_process_exit", "")                                      \
	X(CONNECTIONS, "connections", 1, "on_state on_state_nested on_reset on_destroy",                                               \
	  "tracepoints inet_sock_set_state, tcp_receive_reset, tcp_destroy_sock", "")                                  \
	X(SENDS, "sends", 1, "on_sent", "tracepoint sock_send_length", "")                                             \
	X(SEND_ENTRY, "entry of sends", 0, "on_send", "tracepoint tcp_sendmsg_locked",                                 \
	  "messages are numbered when their send returns: short writes split them, several writers on one "            \
	  "socket can be confused")                                                                                     \
	X(RECEIVES, "receives", 1, "on_taken on_received", "tracepoints sock_recv_length, tcp_rcv_space_adjust", "")   \
	X(CALLS, "accept, connect and wait", 1, "on_call_exit", "perf events on the returns of these calls", "")       \
	X(WAITING, "entry of calls that wait", 1, "on_switch", "tracepoint sched_switch", "")                          \
	X(EXEC, "exec by any thread", 0, "on_prepare_exec", "tracepoint sched_prepare_exec",                           \
	  "numbers of children start again when a thread other than the first executes a program")

struct capability {
	const char *name;
	int required;
	const char *programs;
	const char *served;
	const char *without;
};

struct answer {
	int works;
	const char *served;
	char reason[256];
};

static int is_word(const char *words, const char *word)
{
	const char *at = words;
	size_t len = strlen(word);

	while ((at = strstr(at, word))) {
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return 1;
		at += len;
	}
	return 0;
}

static struct bpf_link *program_attach(struct bpf_program *program)
{
	struct bpf_link *link;
	int tracefs;

	if (strcmp(bpf_program__name(program), "on_call_exit"))
		return bpf_program__attach(program);
	tracefs = tracefs_open();
	if (tracefs < 0) {
		errno = -tracefs;
		return NULL;
	}
	link = call_exit_attach(program, tracefs, tracer_call_exits[0]);
	close(tracefs);
	return link;
}

/* Loads and attaches the programs named, then lets go of them. Returns 0 or negative errno. */
static int programs_try(const char *programs)
{
	struct bpf_object *object;
	struct bpf_program *program;
	struct bpf_link *link;
	size_t size;
	const void *image = tracer_object(&size);
	int err;

	tracer_quiet();
	object = bpf_object__open_mem(image, size, NULL);
	if (!object)
		return -errno;
	bpf_object__for_each_program(program, object)
		bpf_program__set_autoload(program, is_word(programs, bpf_program__name(program)));
	err = bpf_object__load(object);
	bpf_object__for_each_program(program, object) {
		if (err || !bpf_program__autoload(program))
			continue;
		link = program_attach(program);
		if (!link)
			err = -errno;
		bpf_link__destroy(link);
	}
	bpf_object__close(object);
	return err;
}

static void capability_try(const struct capability *capability, struct answer *answer)
{
	int err = programs_try(capability->programs);

	memset(answer, 0, sizeof(*answer));
	answer->works = !err;
	answer->served = capability->served;
	if (err && !strcmp(capability->programs, "on_call_exit") && !programs_try("on_any_exit")) {
		answer->works = 1;
		answer->served = "raw tracepoint sys_exit (dearer for every process of the machine)";
	} else if (err) {
		snprintf(answer->reason, sizeof(answer->reason), "%s%s%s",
			 tracer_complaint()[0] ? tracer_complaint() : strerror(-err),
			 capability->without[0] ? "; without it " : "", capability->without);
	}
}

static void json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if ((unsigned char)*text < ' ')
			fprintf(out, "\\u%04x", *text);
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

static void answer_print(FILE *out, int json, int first, const struct capability *capability,
			 const struct answer *answer)
{
	if (!json) {
		fprintf(out, "%-26s %-4s %s\n", capability->name, answer->works ? "yes" : "no",
			answer->works ? answer->served : answer->reason);
		return;
	}
	fputs(first ? "" : ",", out);
	fputs("\n  {\"name\": ", out);
	json_string(out, capability->name);
	fprintf(out, ", \"works\": %s, \"required\": %s, \"%s\": ", answer->works ? "true" : "false",
		capability->required ? "true" : "false", answer->works ? "backend" : "reason");
	json_string(out, answer->works ? answer->served : answer->reason);
	fputc('}', out);
}

int tracer_probe(FILE *out, int json, struct error *e)
{
	static const struct capability capabilities[] = {
#define X(id, ...) { __VA_ARGS__ },
		CAPABILITIES(X)
#undef X
	};
	size_t n = sizeof(capabilities) / sizeof(capabilities[0]);
	struct answer answer;
	int possible = 1, err;

	err = tracer_explain(0, e);
	if (err)
		return err;
	if (json)
		fputs("{\"capabilities\": [", out);
	for (size_t i = 0; i < n; i++) {
		capability_try(&capabilities[i], &answer);
		if (!answer.works && capabilities[i].required)
			possible = 0;
		answer_print(out, json, i == 0, &capabilities[i], &answer);
	}
	if (json)
		fputs("\n], \"rights\": [", out);
	rights_print(out, json);
	if (json)
		fprintf(out, "\n], \"tracing\": %s}\n", possible ? "true" : "false");
	else
		fprintf(out, "tracing TCP is %s here\n", possible ? "possible" : "not possible");
	return possible ? 0 : 1;
}
