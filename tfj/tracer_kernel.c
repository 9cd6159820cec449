/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Asking the kernel: what it said when it refused, and perf events on the returns of system calls.
 * Knows nothing of the programs. A refusal is an errno; tracer_explain makes a line of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "tfj/tracer_kernel.h"

/*
 * libbpf's callback has no argument of ours, so what it complained about is kept for each thread:
 * the first complaint, because those that follow only say what came of it.
 */
static __thread char kernel_complaint[256];

static int complaint_keep(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && !kernel_complaint[0])
		vsnprintf(kernel_complaint, sizeof(kernel_complaint), format, args);
	return 0;
}

void tracer_quiet(void)
{
	libbpf_set_print(complaint_keep);
	kernel_complaint[0] = '\0';
}

const char *tracer_complaint(void)
{
	kernel_complaint[strcspn(kernel_complaint, "\n")] = '\0';
	return kernel_complaint;
}

void map_clear(int map)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	char key[64], next[64];
	bool more = !bpf_obj_get_info_by_fd(map, &info, &size) && info.key_size <= sizeof(key) &&
		    !bpf_map_get_next_key(map, NULL, key);

	while (more) { /* asked for the first one again and again, the kernel would go through all that is empty each time */
		more = !bpf_map_get_next_key(map, key, next);
		bpf_map_delete_elem(map, key);
		memcpy(key, next, info.key_size);
	}
}

int tracer_explain(int err, struct error *e)
{
	union bpf_attr attr = {0};

	if (syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)) < 0 && errno == ENOSYS)
		return error_set(e, -ENOSYS,
				 "cannot trace: this kernel has no bpf() system call; use one "
				 "built with CONFIG_BPF_SYSCALL");
	if (err == -EPERM || geteuid() != 0) /* -EACCES as root: the verifier refused a program */
		return error_set(
			e, -EPERM,
			"cannot trace: the kernel does not let this user load BPF programs; run as "
			"root "
			"(or with CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_SYS_ADMIN)");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return error_set(
			e, -ENOENT,
			"cannot trace: /sys/kernel/btf/vmlinux is missing; use a kernel built with "
			"CONFIG_DEBUG_INFO_BTF, and mount /sys");
	return 0;
}

int tracer_has(struct btf *btf, const char *tracepoint)
{
	char name[64];

	snprintf(name, sizeof(name), "btf_trace_%s", tracepoint);
	return btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF) > 0;
}

int tracer_arguments(struct btf *btf, const char *tracepoint)
{
	const struct btf_type *type;
	char name[64];
	int id;

	snprintf(name, sizeof(name), "btf_trace_%s", tracepoint);
	id = btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);
	type = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL; /* of a pointer to a function */
	type = type ? btf__type_by_id(btf, type->type) : NULL;
	type = type ? btf__type_by_id(btf, type->type) : NULL;
	return type && btf_is_func_proto(type) ? btf_vlen(type) - 1 : 0; /* less the context */
}

/*
 * tracefs, without mounting it anywhere: fds of a mount that no namespace shows (Linux 5.2). The
 * numbers are those of every architecture with the unified table.
 */
int tracefs_open(const char *directory)
{
	int fs, mount = -1, dir = -1;

	fs = (int)syscall(SYS_fsopen, "tracefs", 1 /* FSOPEN_CLOEXEC */);
	if (fs < 0)
		return -errno;
	if (!syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0))
		mount = (int)syscall(SYS_fsmount, fs, 1 /* FSMOUNT_CLOEXEC */, 0);
	if (mount >= 0)
		dir = openat(mount, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		dir = -errno;
	if (mount >= 0)
		close(mount);
	close(fs);
	return dir;
}

const char *const tracer_call_exits[CALL_EXITS] = {"sys_exit_accept", "sys_exit_accept4",
						   "sys_exit_connect", "sys_exit_listen",
						   "sys_exit_splice", "sys_exit_wait4",
						   "sys_exit_waitid", "sys_exit_sendmmsg",
						   "sys_exit_recvmmsg"};

const char *const tracer_pipe_exits[PIPE_EXITS] = {"sys_exit_read", "sys_exit_write", "sys_exit_readv", "sys_exit_writev",
						   "sys_exit_sendfile64", "sys_exit_tee",
						   "sys_exit_vmsplice"};

int trace_event_open(int tracefs, const char *name)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .sample_period = 1};
	char text[200];
	ssize_t n;
	int fd;

	attr.disabled = 1;
	snprintf(text, sizeof(text), "%s/id", name);
	fd = openat(tracefs, text, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	text[n] = '\0';
	attr.config = strtoull(text, NULL, 10);
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

struct bpf_link *call_exit_attach(struct bpf_program *program, int tracefs, const char *name)
{
	struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	int event = trace_event_open(tracefs, name), err;
	struct bpf_link *link;

	if (event < 0) {
		errno = -event;
		return NULL;
	}
	/* EEXIST: the kernel is still busy letting go of the same program (call_exits_release) */
	for (int tries = 0; !(link = bpf_program__attach_perf_event(program, event)) &&
			    errno == EEXIST && tries < 400;)
		tries += !nanosleep(&pause, NULL);
	if (!link) {
		err = errno;
		close(event);
		errno = err;
	}
	return link;
}

int calls_watchable(void)
{
	int tracefs = tracefs_open("events/syscalls"), event = -1;

	if (tracefs < 0)
		return 0;
	event = trace_event_open(tracefs, tracer_call_exits[0]);
	close(tracefs);
	if (event >= 0)
		close(event);
	return event >= 0;
}

/* Closes every descriptor but those; sorts them. Safe in a child of a program with threads. */
static void fds_close_but(int *keep, size_t n)
{
	unsigned int from = 0;

	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j && keep[j] < keep[j - 1]; j--) {
			int fd = keep[j];

			keep[j] = keep[j - 1];
			keep[j - 1] = fd;
		}
	for (size_t i = 0; i < n; i++) {
		if ((unsigned int)keep[i] > from)
			close_range(from, (unsigned int)keep[i] - 1, 0);
		from = (unsigned int)keep[i] + 1;
	}
	close_range(from, ~0u, 0);
}

/*
 * The kernel waits 70 ms for each perf event that loses its last holder. A child of a child holds
 * them a moment longer than we do, and nothing else, so that the kernel waits for it instead of us.
 * Without such a child we just wait.
 */
void call_exits_release(struct bpf_link **links, size_t n)
{
	int gate[2] = {-1, -1}, keep[CALL_EXITS + PIPE_EXITS + 1];
	char byte;
	pid_t pid;

	if (!n)
		return;
	if (pipe2(gate, O_CLOEXEC))
		gate[0] = gate[1] = -1;
	for (size_t i = 0; i < n; i++)
		keep[i] = bpf_link__fd(links[i]);
	keep[n] = gate[0];
	pid = gate[0] >= 0 ? fork() : -1;
	if (!pid) {
		if (!fork()) {
			fds_close_but(keep, n + 1);
			while (read(gate[0], &byte, 1) < 0 && errno == EINTR)
				;
		}
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	for (size_t i = 0; i < n; i++)
		bpf_link__destroy(links[i]);
	if (gate[0] >= 0) {
		close(gate[0]);
		close(gate[1]);
	}
}
