/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See failing.h. Must not know how a process is started: spawn.c puts the filter on, just before exec. */
#include "tfj/failing.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define ERRNO_MAX 4095 /* of the kernel: MAX_ERRNO */

/* X(call, why it may not fail) */
#define NEEDED(X)                                                                                  \
	X(execve, "it is what starts the program")                                                 \
	X(vmsplice, "it is how a start that failed is told")                                       \
	X(exit, "a thread could not end")                                                          \
	X(exit_group, "the process could not end")                                                 \
	X(rt_sigreturn, "a handler of a signal could not return")                                  \
	X(restart_syscall, "the kernel goes on with an interrupted call by it")

int failing_able(struct error *e)
{
	const uint32_t action = SECCOMP_RET_ERRNO;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ?
		       0 :
		       error_set(e, -ENOTSUP, "this kernel has no seccomp filters: %s", strerror(errno));
}

static int call_number(const char *call, struct error *e)
{
	struct utsname names;
	int number = seccomp_syscall_resolve_name(call);

	if (number >= 0)
		return number;
	if (uname(&names) < 0)
		strcpy(names.machine, "?");
	return error_set(e, -EINVAL, "there is no system call '%s' on this machine (%s)", call, names.machine);
}

int failing_check(const struct failing_call *call, struct error *e)
{
	static const struct {
		const char *call, *why;
	} needed[] = {
#define X(call, why) { #call, why },
		NEEDED(X)
#undef X
	};
	int number = call_number(call->call, e);

	if (number < 0)
		return number;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!strcmp(needed[i].call, call->call))
			return error_set(e, -ENOTSUP, "%s cannot be made to fail: %s", call->call, needed[i].why);
	if (call->error < 1 || call->error > ERRNO_MAX)
		return error_set(e, -EINVAL, "%d is no error of a system call", call->error);
	return 0;
}

/* Out of libseccomp's memory, which only gives it to files. */
static int program_take(scmp_filter_ctx context, struct sock_fprog *ret_filter)
{
	int fd = memfd_create("filter", MFD_CLOEXEC), err;
	struct stat st;

	if (fd < 0)
		return -errno;
	err = seccomp_export_bpf(context, fd);
	if (!err && fstat(fd, &st) < 0)
		err = -errno;
	if (!err && (!st.st_size || st.st_size / sizeof(struct sock_filter) > BPF_MAXINSNS))
		err = -E2BIG;
	ret_filter->filter = err ? NULL : malloc(st.st_size);
	if (!err && !ret_filter->filter)
		err = -ENOMEM;
	if (!err && pread(fd, ret_filter->filter, st.st_size, 0) != st.st_size)
		err = -EIO;
	if (err)
		free(ret_filter->filter);
	else
		ret_filter->len = st.st_size / sizeof(struct sock_filter);
	close(fd);
	return err;
}

int failing_make(const struct failing_call *calls, size_t n, struct sock_fprog *ret_filter, struct error *e)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
	int err = context ? 0 : -ENOMEM;

	/* programs for another machine (32 bits) go on as they are: their calls have other numbers */
	if (!err)
		err = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	for (size_t i = 0; i < n && !err; i++) {
		int number = call_number(calls[i].call, e);

		if (number < 0) {
			seccomp_release(context);
			return number;
		}
		err = seccomp_rule_add(context, SCMP_ACT_ERRNO(calls[i].error), number, 0);
		if (err == -EEXIST)
			err = 0;
	}
	if (!err)
		err = program_take(context, ret_filter);
	if (context)
		seccomp_release(context);
	return err ? error_set(e, err, "a filter of system calls cannot be made: %s", strerror(-err)) : 0;
}
