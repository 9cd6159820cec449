/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See guardian.h. Both sides of the link, which is a pair of sockets that keep messages apart; descriptors travel with
 * them. The guardian is nobody's child: the agent counts its children to know whether a run is over. Must not know
 * faults, runs or BPF.
 *
 * It hears of our death by our pidfd, which no copy of a descriptor can keep quiet. The programs in the kernel may
 * outlive us for a moment, but not their lease: until that is over, it looks again and again.
 */
#include "tfj/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "tfj/cgroup.h"
#include "tfj/rights.h"

#define LOOK_NS (CLOCK_SECOND_NS / 20) /* between two looks at a cgroup whose agent is dead */
#define CLOSE_MS 5000
#define NO_TIME UINT64_MAX

enum { FD_LINK = 3, FD_AGENT = 4, FD_OURS = 5 };

enum guardian_say { SAY_WATCH, SAY_RENEW, SAY_WAKE, SAY_FORGET, SAY_REST };

struct guardian_message {
	uint32_t say, unused;
	uint64_t id, time_ns;
};

struct guardian {
	int link;
	unsigned n; /* that it waits for, at most */
};

/* ---- the guardian itself ---- */

struct sleeper {
	uint64_t id, wake_ns;
	int pidfd;
};

struct guard {
	struct sleeper sleeper[GUARDIAN_MAX];
	size_t n;
	int cgroup; /* -1: none */
	uint64_t until_ns;
	bool dead, late; /* the agent is; it did not renew, and all were woken */
};

static void sleeper_drop(struct guard *guard, size_t i)
{
	close(guard->sleeper[i].pidfd);
	guard->sleeper[i] = guard->sleeper[--guard->n];
}

static void cgroup_drop(struct guard *guard)
{
	if (guard->cgroup >= 0)
		close(guard->cgroup);
	guard->cgroup = -1;
}

static void wake(struct guard *guard, uint64_t now)
{
	bool all = guard->dead || (guard->cgroup >= 0 && now >= guard->until_ns);

	for (size_t i = guard->n; i-- > 0;)
		if (guard->dead || now >= guard->sleeper[i].wake_ns) {
			syscall(SYS_pidfd_send_signal, guard->sleeper[i].pidfd, SIGCONT, NULL, 0);
			sleeper_drop(guard, i);
		}
	if (all && guard->cgroup >= 0)
		cgroup_wake(guard->cgroup);
	guard->late = all;
}

static void take(struct guard *guard, const struct guardian_message *message, int fd)
{
	switch ((enum guardian_say)message->say) {
	case SAY_WATCH:
		cgroup_drop(guard);
		guard->cgroup = fd;
		fd = -1;
		guard->until_ns = message->time_ns;
		break;
	case SAY_RENEW:
		guard->until_ns = message->time_ns;
		break;
	case SAY_WAKE:
		if (fd < 0 || guard->n == GUARDIAN_MAX)
			break;
		guard->sleeper[guard->n++] = (struct sleeper){ message->id, message->time_ns, fd };
		fd = -1;
		break;
	case SAY_FORGET:
		for (size_t i = guard->n; i-- > 0;)
			if (guard->sleeper[i].id == message->id)
				sleeper_drop(guard, i);
		break;
	case SAY_REST:
		while (guard->n)
			sleeper_drop(guard, guard->n - 1);
		cgroup_drop(guard);
		break;
	}
	if (fd >= 0)
		close(fd);
}

/* False: there is nothing more at present. */
static bool hear(struct guard *guard, bool *ret_ended)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct guardian_message message;
	struct iovec iov = { &message, sizeof(message) };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *with;
	ssize_t size = recvmsg(FD_LINK, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd = -1;

	*ret_ended = size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR);
	if (size != sizeof(message))
		return false;
	with = CMSG_FIRSTHDR(&header);
	if (with && with->cmsg_level == SOL_SOCKET && with->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(with), sizeof(fd));
	take(guard, &message, fd);
	return true;
}

/* Is anything left to do? An agent that has let go in order has said that nothing is. */
static bool is_over(const struct guard *guard, uint64_t now)
{
	if (!guard->dead)
		return false;
	return guard->cgroup < 0 || now >= guard->until_ns || cgroup_is_empty(guard->cgroup);
}

static int wait_ms(const struct guard *guard, uint64_t now)
{
	uint64_t until = guard->dead ? now + LOOK_NS : NO_TIME;

	if (!guard->dead && guard->cgroup >= 0 && !guard->late)
		until = guard->until_ns;
	for (size_t i = 0; i < guard->n; i++)
		if (guard->sleeper[i].wake_ns < until)
			until = guard->sleeper[i].wake_ns;
	if (until == NO_TIME)
		return -1;
	return until <= now ? 0 : (int)((until - now) / 1000000 < 60000 ? (until - now + 999999) / 1000000 : 60000);
}

static void guard_loop(void)
{
	struct guard guard = { .cgroup = -1 };
	struct pollfd wait[] = { { .fd = FD_LINK, .events = POLLIN }, { .fd = FD_AGENT, .events = POLLIN } };
	bool ended;

	for (;;) {
		poll(wait, 2, wait_ms(&guard, clock_monotonic_ns()));
		while (hear(&guard, &ended))
			;
		/* in this order: what it said before it died is heard */
		if (ended || wait[1].revents) {
			guard.dead = true;
			wait[0].fd = wait[1].fd = -1;
		}
		wake(&guard, clock_monotonic_ns());
		if (is_over(&guard, clock_monotonic_ns()))
			return;
	}
}

static void guard_run(int link, int agent)
{
	int null;

	prctl(PR_SET_NAME, "tfj-guardian");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* out of the way first: either may be where another is to go */
	link = fcntl(link, F_DUPFD_CLOEXEC, FD_OURS);
	agent = fcntl(agent, F_DUPFD_CLOEXEC, FD_OURS);
	if (link < 0 || agent < 0 || dup2(link, FD_LINK) < 0 || dup2(agent, FD_AGENT) < 0)
		_exit(1);
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < FD_LINK; fd++)
		dup2(null, fd);
	syscall(SYS_close_range, FD_OURS, ~0u, 0);
	if (chdir("/") < 0 || rights_to_signal() < 0)
		_exit(1);
	guard_loop();
	_exit(0);
}

/* ---- the agent's side ---- */

int guardian_open(struct guardian **ret_guardian, struct error *e)
{
	struct guardian *guardian = malloc(sizeof(*guardian));
	int links[2] = { -1, -1 }, agent, status, err = 0;
	const uint64_t all = ~0ull; /* not sigfillset(): it leaves out 32 and 33, which end a process, too */
	uint64_t before;
	pid_t pid;

	if (!guardian)
		return error_set(e, -ENOMEM, "out of memory");
	agent = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (agent < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, links) < 0)
		err = -errno;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all)); /* the guardian never lets one through */
	pid = err ? -1 : fork();
	if (pid == 0) {
		setsid();
		close(links[0]);
		if (fork() == 0)
			guard_run(links[1], agent);
		_exit(0);
	}
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	if (!err && (pid < 0 || (waitpid(pid, &status, 0) < 0 && errno != ECHILD)))
		err = -errno;
	if (agent >= 0)
		close(agent);
	if (links[1] >= 0)
		close(links[1]);
	*guardian = (struct guardian){ .link = links[0] };
	if (err) {
		if (links[0] >= 0)
			close(links[0]);
		free(guardian);
		return error_set(e, err, "cannot make the process that wakes what a pause stopped: %s", strerror(-err));
	}
	*ret_guardian = guardian;
	return 0;
}

static int say(struct guardian *guardian, const struct guardian_message *message, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)message, sizeof(*message) };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *with;
	ssize_t size;

	if (fd >= 0) {
		header.msg_control = &control;
		header.msg_controllen = sizeof(control.bytes);
		with = CMSG_FIRSTHDR(&header);
		with->cmsg_level = SOL_SOCKET;
		with->cmsg_type = SCM_RIGHTS;
		with->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(with), &fd, sizeof(fd));
	}
	do
		size = sendmsg(guardian->link, &header, MSG_NOSIGNAL);
	while (size < 0 && errno == EINTR);
	return size >= 0 ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
}

int guardian_watch(struct guardian *guardian, int cgroup, uint64_t until_ns)
{
	/* Opened anew: with a copy of the descriptor it would hold the lock by which others know that the agent lives. */
	int own = openat(cgroup, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (own < 0)
		return -errno;
	err = say(guardian, &(struct guardian_message){ .say = SAY_WATCH, .time_ns = until_ns }, own);
	close(own);
	return err;
}

int guardian_renew(struct guardian *guardian, uint64_t until_ns)
{
	return say(guardian, &(struct guardian_message){ .say = SAY_RENEW, .time_ns = until_ns }, -1);
}

int guardian_wake(struct guardian *guardian, uint64_t id, int pidfd, uint64_t wake_ns)
{
	int err = guardian->n < GUARDIAN_MAX ? 0 : -ENOSPC;

	if (!err)
		err = say(guardian, &(struct guardian_message){ .say = SAY_WAKE, .id = id, .time_ns = wake_ns }, pidfd);
	guardian->n += !err;
	return err;
}

int guardian_forget(struct guardian *guardian, uint64_t id)
{
	guardian->n -= guardian->n > 0;
	return say(guardian, &(struct guardian_message){ .say = SAY_FORGET, .id = id }, -1);
}

int guardian_rest(struct guardian *guardian)
{
	guardian->n = 0;
	return say(guardian, &(struct guardian_message){ .say = SAY_REST }, -1);
}

void guardian_close(struct guardian *guardian)
{
	struct pollfd wait;
	char byte;

	if (!guardian)
		return;
	/* Its end of the link closes when it has ended. It may have something to do first: then it is not waited for. */
	shutdown(guardian->link, SHUT_WR);
	wait = (struct pollfd){ .fd = guardian->link, .events = POLLIN };
	if (poll(&wait, 1, CLOSE_MS) > 0 && read(guardian->link, &byte, 1) < 0)
		errno = 0;
	close(guardian->link);
	free(guardian);
}
