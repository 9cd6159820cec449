/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See attached.h. Which process is meant is seek.c's business; here it begins to be traced, in an order in which nothing that it
 * does meanwhile is missed: its connections are made known, then the process, then all that it has made until then.
 */
#include "tfj/attached.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tfj/crew.h"
#include "tfj/label.h"
#include "tfj/procfs.h"
#include "tfj/seek.h"

enum { TAKEN_TRIES = 10 };

/* As /proc/net/tcp numbers them; <netinet/tcp.h>, which names them, has a tcp_info that ends too early. */
enum { TCP_ESTABLISHED = 1, TCP_FIN_WAIT1 = 4, TCP_FIN_WAIT2 = 5 };

struct one {
	struct one *next;
	pid_t pid;
	bool ended;
	char name[];
};

struct attached {
	struct attached_place place;
	struct one *ones;
};

struct attached *attached_new(const struct attached_place *place)
{
	struct attached *attached = calloc(1, sizeof(*attached));

	if (attached)
		attached->place = *place;
	return attached;
}

void attached_free(struct attached *attached)
{
	struct one *one;

	if (!attached)
		return;
	while ((one = attached->ones)) {
		attached->ones = one->next;
		free(one);
	}
	free(attached);
}

bool attached_any(const struct attached *attached)
{
	return attached->ones;
}

bool attached_has(const struct attached *attached, const char *label)
{
	for (const struct one *one = attached->ones; one; one = one->next)
		if (label_is_below(label, one->name))
			return true;
	return false;
}

void attached_record(struct attached *attached, const struct rec_head *record, size_t size)
{
	const struct rec_exit *exit = (const struct rec_exit *)record;

	if (record->kind != REC_EXIT || !(record->flags & REC_F_GROUP) || size < sizeof(*exit))
		return;
	for (struct one *one = attached->ones; one; one = one->next) {
		if (one->ended || one->pid != (pid_t)record->tgid)
			continue;
		one->ended = true;
		attached->place.on_exited(one->name, exit->status, attached->place.arg);
	}
}

struct sockets {
	struct attached *attached;
	const struct box *box;
	int pidfd;
	struct error *e;
};

/* How much of its stream has been read, if that stands still for a moment. */
static void taken_tell(struct tracer *tracer, int fd, uint64_t cookie)
{
	int before, after;

	for (int i = 0; i < TAKEN_TRIES; i++) {
		struct tcp_info info = { 0 };
		socklen_t size = sizeof(info);

		if (ioctl(fd, FIONREAD, &before) < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
		    ioctl(fd, FIONREAD, &after) < 0)
			return;
		if (before != after)
			continue;
		/* behind the peer's FIN nobody waits for bytes */
		if (info.tcpi_state == TCP_ESTABLISHED || info.tcpi_state == TCP_FIN_WAIT1 || info.tcpi_state == TCP_FIN_WAIT2)
			tracer_add_taken(tracer, cookie, info.tcpi_bytes_received - (uint64_t)after);
		return;
	}
}

/*
 * We have the socket only for this moment. If its owner closes it just then, it is closed when we let go: a moment later, but
 * nobody has said anything on it in between.
 */
static int on_socket(void *arg, int fd, uint64_t inode)
{
	const struct sockets *sockets = arg;
	struct sockaddr_storage local = { .ss_family = AF_UNSPEC };
	int ours = (int)syscall(SYS_pidfd_getfd, sockets->pidfd, fd, 0), protocol = 0, listens = 0, err = 0;
	socklen_t size = sizeof(protocol), size_listens = sizeof(listens), size_local = sizeof(local), size_cookie;
	uint64_t cookie = 0;

	if (ours < 0)
		return errno == EBADF || errno == ESRCH ? 0 :
							  error_set(sockets->e, -errno, "its sockets cannot be looked at: %s",
								    strerror(errno));
	size_cookie = sizeof(cookie);
	if (getsockopt(ours, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0 || protocol != IPPROTO_TCP)
		goto out;
	if (getsockopt(ours, SOL_SOCKET, SO_COOKIE, &cookie, &size_cookie) == 0)
		taken_tell(sockets->attached->place.tracer, ours, cookie);
	if (getsockopt(ours, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size_listens) == 0 && listens &&
	    getsockname(ours, (struct sockaddr *)&local, &size_local) == 0) /* the port is at the same place in IPv6 */
		err = tracer_add_listener(sockets->attached->place.tracer,
					  sockets->attached->place.box_base + sockets->box->index,
					  ntohs(((struct sockaddr_in *)&local)->sin_port), sockets->e);
out:
	close(ours);
	return err;
}

/* Each TCP socket gets a cookie, or a kprobe could not take it in; where it listens, who connects is traced from now on. */
static int sockets_prepare(struct attached *attached, const struct box *box, pid_t pid, struct error *e)
{
	struct sockets sockets = { attached, box, (int)syscall(SYS_pidfd_open, pid, 0), e };
	int err;

	if (sockets.pidfd < 0)
		return 0; /* it has ended */
	err = proc_sockets(pid, on_socket, &sockets);
	close(sockets.pidfd);
	if (err == -ENOENT || err == -ESRCH)
		return 0;
	if (err == -EACCES)
		error_set(e, err, "what it has open cannot be seen: %s", strerror(-err));
	return err;
}

/* The same of the process and all who descend from it. */
static int family_prepare(struct attached *attached, const struct box *box, pid_t pid, struct error *e)
{
	struct proc *procs = NULL;
	size_t n = 0;
	int err = procs_read(&procs, &n);

	if (err)
		return error_set(e, err, "/proc cannot be read: %s", strerror(-err));
	for (size_t i = 0; i < n && !err; i++)
		if (procs[i].pid == pid || procs_descends(procs, n, procs[i].pid, pid))
			err = sockets_prepare(attached, box, procs[i].pid, e);
	free(procs);
	return err;
}

static int name_them(struct attached *attached, const struct message_attach *wish, const struct box *box, pid_t pid,
		     const struct followed *followed, size_t n, uint64_t now_ns, struct error *e)
{
	struct names *names = attached->place.names;
	char *command = proc_command(pid);
	int err = 0;

	if (!command)
		return error_set(e, -ESRCH, "process %d has ended", pid);
	if (!names_attach(names, wish->name, box->index, (uint32_t)pid, command, now_ns))
		err = -ENOMEM;
	free(command);
	for (size_t i = 0; i < n && !err; i++) {
		command = followed[i].tid == followed[i].tgid ? proc_command((pid_t)followed[i].tgid) : NULL;
		err = names_follow(names, &followed[i], command ? command : "", now_ns);
		free(command);
	}
	return err ? error_set(e, err, "out of memory") : 0;
}

static int trace(struct attached *attached, const struct message_attach *wish, const struct box *box, pid_t pid, int pidfd,
		 uint64_t now_ns, struct error *e)
{
	struct tracer *tracer = attached->place.tracer;
	struct followed *followed = NULL;
	size_t n = 0;
	int err;

	if (tracer_has_task(tracer, pidfd))
		return error_set(e, -EEXIST, "process %d is traced already: the run has started it, or it descends from an attached one",
				 pid);
	err = family_prepare(attached, box, pid, e);
	if (!err) {
		tracer_adopt(tracer);
		err = tracer_add_running(tracer, pidfd, attached->place.box_base + box->index, label_number(wish->name), e);
	}
	if (!err)
		err = tracer_follow(tracer, &followed, &n, e);
	if (!err) /* what was opened meanwhile */
		err = family_prepare(attached, box, pid, e);
	if (!err)
		err = name_them(attached, wish, box, pid, followed, n, now_ns, e);
	free(followed);
	return err;
}

int attached_add(struct attached *attached, const struct message_attach *wish, uint64_t now_ns, pid_t *ret_pid,
		 struct error *e)
{
	const struct box *box = boxes_find(attached->place.boxes, wish->box);
	size_t size = strlen(wish->name) + 1;
	struct one *one;
	int pidfd, err;

	err = process_name_check(wish->name, e);
	if (err)
		return err;
	if (!box)
		return error_set(e, -ENOENT, "there is no box '%s'", wish->box);
	if (!box->guest)
		return error_set(e, -EINVAL, "box '%s' is made for the run, nothing can be in it before: give it a network namespace "
				 "that is there", box->name);
	one = calloc(1, sizeof(*one) + size);
	if (!one)
		return error_set(e, -ENOMEM, "out of memory");
	memcpy(one->name, wish->name, size);
	err = seek_process(wish, box, &one->pid, &pidfd, e);
	if (err) {
		free(one);
		return err;
	}
	one->next = attached->ones; /* also if this fails: a part of it may be traced */
	attached->ones = one;
	err = trace(attached, wish, box, one->pid, pidfd, now_ns, e);
	close(pidfd);
	*ret_pid = one->pid;
	return err;
}
