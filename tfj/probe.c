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

#include "tfj/cgroup.h"
#include "tfj/inject.h"
#include "tfj/kretprobe.h"
#include "tfj/rights.h"
#include "tfj/syn.h"
#include "tfj/tracer.h"
#include "tfj/tracer_backend.h"
#include "tfj/tracer_content.h"
#include "tfj/tracer_kernel.h"

/* X(id, name, required, programs, what serves it, what is lost without it): of every backend */
#define CAPABILITIES(X)                                                                                                \
	X(TASKS, "processes", 1, "on_newtask on_exec on_exit",                                                         \
	  "tracepoints task_newtask, sched_process_exec, sched_process_exit", "")                                      \
	X(CONNECTIONS, "connections", 1, "on_state on_state_nested on_reset on_reset_nested on_destroy on_destroy_nested", \
	  "tracepoints inet_sock_set_state, tcp_receive_reset, tcp_destroy_sock", "")                                  \
	X(TAKEN, "bytes that are taken", 1, "on_taken", "tracepoint tcp_rcv_space_adjust", "")                         \
	X(CALLS, "accept, connect and wait", 1, "on_call_exit", "perf events on the returns of these calls", "")       \
	X(WAITING, "entry of calls that wait", 1, "on_switch", "tracepoint sched_switch", "")                          \
	X(BORN, "TCP Fast Open", 0, "on_born", "tracepoint tcp_cong_state_set",                                        \
	  "bytes that a server takes before the connection is established are holes")                                  \
	X(RINGS, "accept by io_uring", 0, "on_completed", "tracepoint io_uring_complete",                              \
	  "such an accept is shown where its connection is first used")                                                \
	X(ATTACH, "processes that run already", 0, "on_follow", "iterator over tasks",                               \
	  "they cannot be attached")                                                                                   \
	X(MPTCP, "MPTCP", 0, "", "", "not traced: bytes of such a connection are shown as holes")                      \
	X(TLS, "TLS in the kernel", 0, "", "", "not traced: what TLS adds to a stream is shown as holes")              \
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

/* Attaches a program and lets go of it. */
static int program_attach(struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);
	struct kretprobe probe;
	struct bpf_link *link;
	int tracefs, err;

	if (!strncmp(section, "kretprobe/", 10)) {
		err = kretprobe_attach(&probe, program, section + 10);
		if (!err)
			kretprobe_detach(&probe);
		return err;
	}
	if (strcmp(bpf_program__name(program), "on_call_exit")) {
		link = bpf_program__attach(program);
	} else {
		tracefs = tracefs_open("events/syscalls");
		if (tracefs < 0)
			return tracefs;
		link = call_exit_attach(program, tracefs, tracer_call_exits[0]);
		close(tracefs);
	}
	err = link ? 0 : -errno;
	bpf_link__destroy(link);
	return err;
}

/* Loads the programs that are chosen, attaches them and lets go of them. */
static int object_try(struct bpf_object *object)
{
	struct bpf_program *program;
	int err = bpf_object__load(object);

	bpf_object__for_each_program(program, object)
		if (!err && bpf_program__autoload(program))
			err = program_attach(program);
	return err;
}

/* Tries the programs named. Returns 0 or negative errno. */
static int programs_try(const char *programs)
{
	struct bpf_object *object;
	struct bpf_program *program;
	size_t size;
	const void *image = tracer_object(&size);
	int err;

	tracer_quiet();
	object = bpf_object__open_mem(image, size, NULL);
	if (!object)
		return -errno;
	bpf_object__for_each_program(program, object)
		bpf_program__set_autoload(program, is_word(programs, bpf_program__name(program)));
	err = object_try(object);
	bpf_object__close(object);
	return err;
}

static void capability_try(const struct capability *capability, struct answer *answer)
{
	int err = *capability->programs ? programs_try(capability->programs) : -ENOTSUP;

	memset(answer, 0, sizeof(*answer));
	answer->works = !err;
	answer->served = capability->served;
	if (!*capability->programs) {
		snprintf(answer->reason, sizeof(answer->reason), "%s", capability->without);
		return;
	}
	if (err && !strcmp(capability->programs, "on_completed"))
		answer->works = !programs_try("on_completed_older");
	if (err && !strcmp(capability->programs, "on_call_exit") && !programs_try("on_any_exit")) {
		answer->works = 1;
		answer->served = "raw tracepoint sys_exit (dearer for every process of the machine)";
	} else if (!answer->works) {
		snprintf(answer->reason, sizeof(answer->reason), "%s%s%s",
			 tracer_complaint()[0] ? tracer_complaint() : strerror(-err),
			 capability->without[0] ? "; without it " : "", capability->without);
	}
}

/* The programs that only this backend has. */
static void backend_try(enum backend backend, struct btf *btf, struct answer *answer)
{
	struct bpf_object *object;
	struct bpf_program *program;
	struct error why = {""};
	size_t size;
	const void *image = tracer_object(&size);
	int err;

	memset(answer, 0, sizeof(*answer));
	answer->served = backend_texts[backend];
	tracer_quiet();
	object = bpf_object__open_mem(image, size, NULL);
	err = object ? backend_choose(backend, object, btf, &why) : -errno;
	if (!err) {
		bpf_object__for_each_program(program, object)
			if (program_is_shared(program))
				bpf_program__set_autoload(program, 0);
		err = object_try(object);
	}
	answer->works = !err;
	if (err)
		snprintf(answer->reason, sizeof(answer->reason), "%s",
			 why.text[0]             ? why.text
			 : tracer_complaint()[0] ? tracer_complaint()
						 : strerror(-err));
	bpf_object__close(object);
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

static void answer_print(FILE *out, int json, int first, const char *name, int required, const struct answer *answer)
{
	if (!json) {
		fprintf(out, "%-26s %-4s %s\n", name, answer->works ? "yes" : "no",
			answer->works ? answer->served : answer->reason);
		return;
	}
	fputs(first ? "" : ",", out);
	fputs("\n  {\"name\": ", out);
	json_string(out, name);
	fprintf(out, ", \"works\": %s, \"required\": %s, \"%s\": ", answer->works ? "true" : "false",
		required ? "true" : "false", answer->works ? "backend" : "reason");
	json_string(out, answer->works ? answer->served : answer->reason);
	fputc('}', out);
}

/* Tries all backends. Returns the first that works, BACKEND_COUNT: none. */
static enum backend backends_try(FILE *out, int json)
{
	enum backend best = BACKEND_COUNT;
	struct btf *btf = btf__load_vmlinux_btf();
	struct answer answer;
	char name[40];

	for (int i = 0; i < BACKEND_COUNT; i++) {
		backend_try((enum backend)i, btf, &answer);
		if (answer.works && best == BACKEND_COUNT)
			best = (enum backend)i;
		snprintf(name, sizeof(name), "backend %s", backend_names[i]);
		answer_print(out, json, 0, name, 0, &answer);
	}
	btf__free(btf);
	return best;
}

static void on_no_record(const struct rec_head *record, size_t size, void *arg)
{
}

/* Content is read by programs of their own, beside those of a backend. */
static void content_try(enum backend backend, struct answer *answer)
{
	struct tracer *tracer = NULL;
	struct error why = {""};
	int err = tracer_open(backend_names[backend], (size_t)sysconf(_SC_PAGESIZE), false, on_no_record, NULL, &tracer, &why);

	if (!err)
		err = tracer_content(tracer, 1, &why);
	memset(answer, 0, sizeof(*answer));
	answer->works = !err;
	answer->served = tracer_content_pages() ? "programs at the entry of a send; of what sendfile and splice hand on, too" :
						  "programs at the entry of a send; not of what sendfile and splice hand on: "
						  "this kernel does not say where its pages are";
	snprintf(answer->reason, sizeof(answer->reason), "%s", why.text);
	tracer_close(tracer);
}

/* Whether SYNs can say which connection they begin: attached to a cgroup of ours for a moment. */
static void syn_try(enum backend backend, struct answer *answer)
{
	struct claim mount = CLAIM_NONE;
	struct cgroup cgroup = CGROUP_NONE;
	struct tracer *tracer = NULL;
	struct syn *syn = NULL;
	struct error why = {""};
	char root[256];
	int err = tracer_open(backend_names[backend], (size_t)sysconf(_SC_PAGESIZE), true, on_no_record, NULL, &tracer, &why);

	if (!err)
		err = cgroup_find_root(root, sizeof(root), &mount, &why);
	if (!err)
		err = cgroup_open(&cgroup, root, &why);
	if (!err)
		err = syn_open(tracer, cgroup.claim.fd, &syn, &why);
	memset(answer, 0, sizeof(*answer));
	answer->works = !err;
	answer->served = "sockops programs on the run's cgroup: a TCP option of SYNs";
	snprintf(answer->reason, sizeof(answer->reason), "%.160s; without it faults at what the accepting side does need both sides here", why.text);
	syn_close(syn);
	cgroup_remove(&cgroup);
	cgroup_leave_root(&mount);
	tracer_close(tracer);
}

/* One line for each kind. */
static void faults_try(enum backend backend, FILE *out, int json)
{
	struct tracer *tracer = NULL;
	struct faults *faults = NULL;
	struct error why = {""}, no = {""};
	struct answer answer;
	char name[40];
	int err = tracer_open(backend_names[backend], (size_t)sysconf(_SC_PAGESIZE), true, on_no_record, NULL, &tracer, &no);

	if (!err)
		err = faults_open(tracer, &faults, &no);
	for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KIND_COUNT; kind++) {
		memset(&answer, 0, sizeof(answer));
		why = no;
		answer.works = !(!inject_in_kernel(kind) || !err ? inject_able(tracer, kind, &why) : err);
		answer.served = inject_served(kind);
		snprintf(answer.reason, sizeof(answer.reason), "%s", why.text);
		snprintf(name, sizeof(name), "fault %s", fault_kind_name(kind));
		answer_print(out, json, 0, name, 0, &answer);
	}
	faults_close(faults);
	tracer_close(tracer);
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
	enum backend best;
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
		answer_print(out, json, i == 0, capabilities[i].name, capabilities[i].required, &answer);
	}
	best = backends_try(out, json);
	possible &= best != BACKEND_COUNT;
	if (possible) {
		content_try(best, &answer);
		answer_print(out, json, 0, "content of messages", 0, &answer);
		syn_try(best, &answer);
		answer_print(out, json, 0, "names between kernels", 0, &answer);
		faults_try(best, out, json);
	}
	if (json)
		fputs("\n], \"rights\": [", out);
	rights_print(out, json);
	if (json)
		fprintf(out, "\n], \"tracing\": %s, \"backend\": \"%s\"}\n", possible ? "true" : "false",
			possible ? backend_names[best] : "");
	else if (possible)
		fprintf(out, "tracing TCP is possible here, with backend %s\n", backend_names[best]);
	else
		fputs("tracing TCP is not possible here\n", out);
	return possible ? 0 : 1;
}
