/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See rights.h. Capabilities are a thread's: so this comes before any thread is made. */
#include "tfj/rights.h"

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* X(name, what for) */
#define RIGHTS(X)                                                                                                      \
	X(SYS_ADMIN, "loads and attaches what records, makes namespaces and mounts in them")                           \
	X(SYS_CHROOT, "starts programs in containers")                                                                 \
	X(NET_ADMIN, "makes the network of the boxes")                                                                 \
	X(SETUID, "starts programs as their user")                                                                     \
	X(SETGID, "starts programs with their user's groups")                                                          \
	X(CHOWN, "gives working directories to their users")                                                           \
	X(DAC_OVERRIDE, "makes working directories in folders of other users, removes what killed runs left")          \
	X(FOWNER, "removes what programs of other users left in sticky folders")                                       \
	X(KILL, "ends programs of other users")                                                                        \
	X(SYS_PTRACE, "sees what processes that it is asked to attach run and have open")                              \
	X(SYSLOG, "is told where the kernel has its pages: content of what sendfile hands on")

struct right {
	const char *name;
	int number;
	const char *purpose;
};

static const struct right rights[] = {
#define X(name, purpose) { "CAP_" #name, CAP_##name, purpose },
	RIGHTS(X)
#undef X
};

enum { N_RIGHTS = sizeof(rights) / sizeof(rights[0]) };

struct sets {
	struct __user_cap_data_struct half[2];
};

static int sets_get(struct sets *sets)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, sets->half) < 0 ? -errno : 0;
}

static int sets_set(const struct sets *sets)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capset, &header, sets->half) < 0 ? -errno : 0;
}

static int has(const struct sets *sets, const struct right *right)
{
	return sets->half[right->number / 32].permitted >> right->number % 32 & 1;
}

int rights_check(struct error *e)
{
	char missing[400] = "";
	struct sets sets;
	size_t used = 0;
	int err = sets_get(&sets);

	if (err < 0)
		return error_set(e, err, "capabilities cannot be read: %s", strerror(-err));
	for (int i = 0; i < N_RIGHTS && used < sizeof(missing); i++)
		if (!has(&sets, &rights[i]))
			used += (size_t)snprintf(missing + used, sizeof(missing) - used, "%s%s (%s)", used ? ", " : "",
						 rights[i].name, rights[i].purpose);
	return used ? error_set(e, -EPERM, "the agent lacks %s: start it with that, as root usually is", missing) : 0;
}

int rights_keep(struct error *e)
{
	struct sets sets;
	int err = sets_get(&sets);

	for (int i = 0; i < 2; i++)
		sets.half[i].effective = sets.half[i].inheritable = 0;
	for (int i = 0; i < N_RIGHTS; i++)
		sets.half[rights[i].number / 32].effective |= 1u << rights[i].number % 32;
	if (!err)
		err = sets_set(&sets);
	if (err < 0)
		return error_set(e, err, "capabilities cannot be given up: %s", strerror(-err));
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return 0;
}

struct call {
	void (*function)(void *arg);
	void *arg;
	int err;
};

static void *call_without(void *arg)
{
	const struct sets none = { 0 };
	struct call *call = arg;

	call->err = sets_set(&none);
	if (!call->err)
		call->function(call->arg);
	return NULL;
}

int rights_without(void (*function)(void *arg), void *arg)
{
	struct call call = { function, arg, 0 };
	pthread_t thread;
	int err = -pthread_create(&thread, NULL, call_without, &call);

	if (err < 0)
		return err;
	pthread_join(thread, NULL);
	return call.err;
}

int rights_to_signal(void)
{
	struct sets sets = { 0 };

	sets.half[CAP_KILL / 32].permitted = sets.half[CAP_KILL / 32].effective = 1u << CAP_KILL % 32;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return sets_set(&sets);
}

void rights_print(FILE *out, int json)
{
	struct sets sets = { 0 };

	sets_get(&sets);
	for (int i = 0; i < N_RIGHTS; i++)
		fprintf(out,
			json ? "%s\n  {\"name\": \"%s\", \"has\": %s, \"purpose\": \"%s\"}" : "%s%-26s %-4s %s\n",
			json && i ? "," : "", rights[i].name,
			json ? (has(&sets, &rights[i]) ? "true" : "false") : (has(&sets, &rights[i]) ? "yes" : "no"),
			rights[i].purpose);
}
