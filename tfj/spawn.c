/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From fork to exec. Must not know what the program is for.
 *
 * The child is made by clone3 directly (for CLONE_INTO_CGROUP: moving a process later costs a grace period of the
 * kernel), so it lives outside the C library's idea of a process: everything that allocates or looks up names is done
 * before, by the parent, and the child only makes system calls. What fails in it is reported through a pipe that exec
 * closes.
 */
#include "tfj/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tfj/enter.h"

enum { GROUPS_MAX = 256, LOOKUP_BUFFER = 65536 };

/* X(NAME, what the child was about to do) */
#define STEPS(X)                                                                                   \
	X(PARENT, "its agent has ended")                                                           \
	X(CONTAINER, "cannot enter its container")                                                 \
	X(NETWORK, "cannot enter the network of its box")                                          \
	X(NAMESPACE, "cannot make a mount namespace")                                              \
	X(HOSTS, "cannot put the names of the boxes over /etc/hosts (there must be one; an empty one will do)") \
	X(RESOLV, "cannot empty /etc/resolv.conf")                                                 \
	X(HOSTNAME, "cannot set the host name")                                                    \
	X(STREAMS, "cannot set up its input and output")                                           \
	X(DIRECTORY, "cannot enter its working directory")                                         \
	X(USER, "cannot become its user")                                                          \
	X(FAILING, "cannot make its system calls fail")                                            \
	X(EXEC, "")

enum step {
#define X(name, text) STEP_##name,
	STEPS(X)
#undef X
	STEP_COUNT,
};

struct failure {
	int32_t step, err;
};

struct user {
	bool change;
	uid_t uid;
	gid_t gid;
	gid_t groups[GROUPS_MAX];
	int n_groups;
};

/* What the child needs, ready to use. */
struct child {
	const struct spawn_spec *spec;
	const struct user *user;
	char **candidates; /* paths to try, NULL-terminated */
	pid_t parent;
	int go, failure, in, out, err;
	bool usual; /* scheduled as usual, other than its parent */
	int go_other; /* the parent's end: as long as we hold it, its closing does not show */
	int ret_step;
};

static const char hosts[] = "/etc/hosts", resolv[] = "/etc/resolv.conf";

/* The container's own, but for the names of the boxes, in mounts of our own. Its path to their file ends at the door. */
static int child_container(struct child *child)
{
	const struct spawn_spec *spec = child->spec;
	int names, err;

	child->ret_step = STEP_HOSTS;
	names = (int)syscall(SYS_open_tree, AT_FDCWD, spec->hosts, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (names < 0)
		return -errno;
	child->ret_step = STEP_CONTAINER;
	err = enter_child(spec->enter);
	if (err < 0)
		return err;
	child->ret_step = STEP_NAMESPACE;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	child->ret_step = STEP_HOSTS;
	if (access(hosts, F_OK) == 0 &&
	    (syscall(SYS_move_mount, names, "", AT_FDCWD, hosts, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0 ||
	     mount(NULL, hosts, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0))
		return -errno;
	close(names);
	return 0;
}

static int child_namespaces(struct child *child)
{
	const unsigned long read_only = MS_REMOUNT | MS_BIND | MS_RDONLY;
	const struct spawn_spec *spec = child->spec;

	child->ret_step = STEP_NETWORK;
	if (setns(spec->netns, CLONE_NEWNET) < 0)
		return -errno;
	child->ret_step = STEP_NAMESPACE;
	if (unshare(CLONE_NEWNS | CLONE_NEWUTS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	child->ret_step = STEP_HOSTS;
	if (spec->hosts &&
	    (mount(spec->hosts, hosts, NULL, MS_BIND, NULL) < 0 || mount(NULL, hosts, NULL, read_only, NULL) < 0))
		return -errno;
	child->ret_step = STEP_RESOLV;
	if (spec->resolv && access(resolv, F_OK) == 0 &&
	    (mount(spec->resolv, resolv, NULL, MS_BIND, NULL) < 0 || mount(NULL, resolv, NULL, read_only, NULL) < 0))
		return -errno;
	child->ret_step = STEP_HOSTNAME;
	return sethostname(spec->host, strlen(spec->host)) < 0 ? -errno : 0;
}

static int child_streams(struct child *child)
{
	child->ret_step = STEP_STREAMS;
	if (dup2(child->in, 0) < 0 || dup2(child->out, 1) < 0 || dup2(child->err, 2) < 0)
		return -errno;
	/* Ours are close-on-exec anyway; this is for what we inherited ourselves. Linux 5.11. */
	syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
	umask(022);
	child->ret_step = STEP_DIRECTORY;
	return chdir(child->spec->directory) < 0 ? -errno : 0;
}

/*
 * In a container's own namespace of processes a parent outside has the number 0, and so has whoever takes us over when that is
 * outside, too: then an agent that died before PR_SET_PDEATHSIG goes unnoticed here, and its guardian ends us.
 */
static bool is_orphan(const struct child *child)
{
	pid_t parent = getppid();

	return parent != child->parent && (parent || !child->spec->enter);
}

/* System calls, not the C library's functions: those would look for the parent's threads in this process. */
static int child_user(struct child *child)
{
	const struct user *user = child->user;

	child->ret_step = STEP_USER;
	if (child->spec->failing && prctl(PR_SET_KEEPCAPS, 1) < 0)
		return -errno;
	if (user->change && (syscall(SYS_setgroups, (size_t)user->n_groups, user->groups) < 0 ||
			     syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0 ||
			     syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0))
		return -errno;
	/* Changing the user has cleared it. */
	child->ret_step = STEP_PARENT;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return is_orphan(child) ? -ESRCH : 0;
}

/*
 * The last thing before exec: what fails for the program must not fail for us. A filter without no_new_privs, which would
 * change what programs of the box may do, needs a right that another user has kept so far and that exec takes away.
 */
static int child_failing(struct child *child)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];

	child->ret_step = STEP_FAILING;
	if (!child->spec->failing)
		return 0;
	if (syscall(SYS_capget, &header, sets) < 0)
		return -errno;
	sets[CAP_SYS_ADMIN / 32].effective |= 1u << CAP_SYS_ADMIN % 32;
	if (syscall(SYS_capset, &header, sets) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, child->spec->failing) < 0)
		return -errno;
	return 0;
}

static int child_exec(struct child *child)
{
	int err = -ENOENT;

	child->ret_step = STEP_EXEC;
	for (size_t i = 0; child->candidates[i]; i++) {
		execve(child->candidates[i], child->spec->argv, child->spec->environment);
		/* As execvp: go on where there is none; what exists but may not be executed is the better complaint. */
		if (errno != ENOENT && errno != ENOTDIR)
			err = -errno;
		if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
			break;
	}
	return err;
}

static int child_report(const struct child *child, int err)
{
	struct failure failure = { child->ret_step, err };
	struct iovec iov = { &failure, sizeof(failure) };

	/* Its own filter may let write() fail; the other call is one that it never does (failing.c). */
	return child->spec->failing ? syscall(SYS_vmsplice, child->failure, &iov, 1ul, 0) :
				      write(child->failure, &failure, sizeof(failure));
}

static void child_run(struct child *child)
{
	static const unsigned long default_action[4]; /* what the kernel calls struct sigaction, SIG_DFL */
	sigset_t none;
	char byte;
	int err;

	close(child->go_other);
	/* Not signal(): it keeps its hands off 32 and 33, which a parent that used posix_spawn() leaves ignored. */
	for (int i = 1; i < NSIG; i++)
		syscall(SYS_rt_sigaction, i, &default_action, NULL, sizeof(uint64_t));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (child->usual)
		syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &(struct sched_param){ 0 });
	setsid();
	if (is_orphan(child) || read(child->go, &byte, 1) != 1)
		_exit(127);
	err = child->spec->enter ? child_container(child) : child_namespaces(child);
	if (!err)
		err = child_streams(child);
	if (!err)
		err = child_user(child);
	if (!err)
		err = child_failing(child);
	if (!err)
		err = child_exec(child);
	_exit(child_report(child, err) < 0 ? 126 : 127);
}

static int user_find(const char *name, struct user *ret_user, struct error *e)
{
	struct passwd entry, *found = NULL;
	char *buffer;
	int err;

	*ret_user = (struct user){ .n_groups = GROUPS_MAX };
	if (!*name)
		return 0;
	buffer = malloc(LOOKUP_BUFFER);
	if (!buffer)
		return error_set(e, -ENOMEM, "out of memory");
	err = -getpwnam_r(name, &entry, buffer, LOOKUP_BUFFER, &found);
	if (!found) {
		err = err ? err : -ENOENT;
		error_set(e, err, "there is no user '%s' on this machine", name);
	} else if (getgrouplist(name, entry.pw_gid, ret_user->groups, &ret_user->n_groups) < 0) {
		err = error_set(e, -E2BIG, "the user '%s' is in too many groups", name);
	} else {
		ret_user->change = true;
		ret_user->uid = entry.pw_uid;
		ret_user->gid = entry.pw_gid;
	}
	free(buffer);
	return err;
}

static int user_inside(const struct spawn_spec *spec, struct user *ret_user, struct error *e)
{
	int err;

	*ret_user = (struct user){ .n_groups = GROUPS_MAX };
	if (spec->enter->users)
		return error_set(e, -EOPNOTSUPP, "its container has users of its own (a user namespace): what runs there can be attached, but "
				 "nothing can be started in it");
	err = *spec->user ? enter_user(spec->enter, spec->user, &ret_user->uid, &ret_user->gid, ret_user->groups, &ret_user->n_groups, e) : 0;
	ret_user->change = !err && *spec->user;
	return err;
}

static int directory_make(const char *directory, const struct user *user, struct error *e)
{
	char path[PATH_MAX];
	size_t len = strlen(directory);
	bool made = false;
	struct stat st;

	if (directory[0] != '/' || len >= sizeof(path))
		return error_set(e, -EINVAL, "the working directory '%s' is not an absolute path", directory);
	strcpy(path, directory);
	for (char *p = path + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = '\0';
		made = mkdir(path, 0755) == 0;
		if (!made && errno != EEXIST)
			return error_set(e, -errno, "cannot make the working directory '%s': %s", path, strerror(errno));
		*p = c;
		if (!c)
			break;
	}
	if (made && user->change && chown(path, user->uid, user->gid) < 0)
		return error_set(e, -errno, "cannot give '%s' to its user: %s", path, strerror(errno));
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(e, -ENOTDIR, "the working directory '%s' is not a directory", path);
	return 0;
}

static void candidates_free(char **candidates)
{
	for (size_t i = 0; candidates && candidates[i]; i++)
		free(candidates[i]);
	free(candidates);
}

/* Where argv[0] may be: itself if it has a slash, else in each folder of the environment's PATH. */
static char **candidates_make(const struct spawn_spec *spec)
{
	const char *program = spec->argv[0], *path = "/usr/local/bin:/usr/bin:/bin", *end;
	char **candidates;
	size_t n = 1, i = 0;

	for (char *const *p = spec->environment; *p; p++)
		if (!strncmp(*p, "PATH=", 5))
			path = *p + 5;
	for (const char *p = path; *p; p++)
		n += *p == ':';
	candidates = calloc(n + 1, sizeof(*candidates));
	if (!candidates)
		return NULL;
	if (strchr(program, '/')) {
		candidates[0] = strdup(program);
		i = 1;
	}
	for (; !strchr(program, '/') && path; path = *end ? end + 1 : NULL) {
		end = strchrnul(path, ':');
		if (end == path) /* an empty entry means the working directory */
			n = asprintf(&candidates[i], "./%s", program);
		else
			n = asprintf(&candidates[i], "%.*s/%s", (int)(end - path), path, program);
		if ((int)n < 0)
			candidates[i] = NULL;
		if (!candidates[i++])
			break;
	}
	if (!candidates[i ? i - 1 : 0]) {
		candidates_free(candidates);
		return NULL;
	}
	return candidates;
}

/* Returns the pid, 0 in the child, negative errno. An old kernel without CLONE_INTO_CGROUP (before 5.7) is refused. */
static pid_t child_clone(const struct spawn_spec *spec, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_INTO_CGROUP,
		.pidfd = (uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = spec->cgroup,
	};
	int home = -1, err = spec->enter ? enter_processes(spec->enter, &home) : 0;
	long pid;

	if (err < 0)
		return err;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		pid = -errno;
	err = pid && spec->enter ? enter_leave(home) : 0;
	if (err < 0 && pid > 0)
		syscall(SYS_pidfd_send_signal, *ret_pidfd, SIGKILL, NULL, 0);
	return err < 0 ? err : pid;
}

static int nonblocking(int fd)
{
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;
}

/* Makes the pipes, ours in *spawn, the child's in *child. */
static int pipes_make(struct spawn *spawn, struct child *child)
{
	int fds[2], err;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	child->go = fds[0];
	spawn->go = child->go_other = fds[1];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	spawn->failure = fds[0];
	child->failure = fds[1];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	spawn->out = fds[0];
	child->out = fds[1];
	if (child->spec->one_pipe) {
		child->err = fcntl(child->out, F_DUPFD_CLOEXEC, 3);
	} else {
		if (pipe2(fds, O_CLOEXEC) < 0)
			return -errno;
		spawn->err = fds[0];
		child->err = fds[1];
	}
	child->in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (child->in < 0 || child->err < 0)
		return -errno;
	err = nonblocking(spawn->failure);
	if (!err)
		err = nonblocking(spawn->out);
	return err || spawn->err < 0 ? err : nonblocking(spawn->err);
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int spawn_prepare(const struct spawn_spec *spec, struct spawn *ret_spawn, struct error *e)
{
	struct child child = { .spec = spec, .parent = getpid(), .go = -1, .failure = -1, .in = -1, .out = -1, .err = -1 };
	struct spawn spawn = SPAWN_NONE;
	struct user user;
	int err;

	if (!spec->argv[0] || !*spec->argv[0])
		return error_set(e, -EINVAL, "there is no program to run");
	err = spec->enter ? user_inside(spec, &user, e) : user_find(spec->user, &user, e);
	if (!err && !spec->enter)
		err = directory_make(spec->directory, &user, e);
	if (err)
		return err;
	child.user = &user;
	child.usual = sched_getscheduler(0) == SPAWN_BATCH;
	child.candidates = candidates_make(spec);
	if (!child.candidates) {
		err = error_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	err = pipes_make(&spawn, &child);
	if (err) {
		error_set(e, err, "cannot make pipes: %s", strerror(-err));
		goto out;
	}
	spawn.pid = child_clone(spec, &spawn.pidfd);
	if (spawn.pid == 0)
		child_run(&child);
	if (spawn.pid < 0)
		err = error_set(e, spawn.pid, "cannot make a process: %s", strerror(-spawn.pid));
out:
	close_all((int[]){ child.go, child.failure, child.in, child.out, child.err }, 5);
	candidates_free(child.candidates);
	if (err)
		spawn_close(&spawn);
	else
		*ret_spawn = spawn;
	return err;
}

int spawn_go(struct spawn *spawn)
{
	/* The child cannot be gone without SIGKILL; then the pipe breaks and its end is told by its exit. */
	int err = write(spawn->go, "", 1) == 1 ? 0 : -errno;

	close(spawn->go);
	spawn->go = -1;
	return err;
}

int spawn_result(struct spawn *spawn, const char *program, struct error *e)
{
	static const char *const texts[STEP_COUNT] = {
#define X(name, text) [STEP_##name] = text,
		STEPS(X)
#undef X
	};
	struct failure failure;
	ssize_t size;
	int err = 0;

	do
		size = read(spawn->failure, &failure, sizeof(failure));
	while (size < 0 && errno == EINTR);
	if (size < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (size == sizeof(failure) && failure.step >= 0 && failure.step < STEP_COUNT && failure.err < 0) {
		err = failure.err;
		if (failure.step == STEP_EXEC)
			error_set(e, err, "'%s': %s", program, strerror(-err));
		else
			error_set(e, err, "%s: %s", texts[failure.step], strerror(-err));
	}
	close(spawn->failure);
	spawn->failure = -1;
	return err;
}

void spawn_close(struct spawn *spawn)
{
	if (spawn->go >= 0 && spawn->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, spawn->pidfd, SIGKILL, NULL, 0);
	close_all((int[]){ spawn->pidfd, spawn->go, spawn->failure, spawn->out, spawn->err }, 5);
	*spawn = (struct spawn)SPAWN_NONE;
}
