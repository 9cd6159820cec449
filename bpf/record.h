/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a probe saw: the ABI between the programs in bpf/ and tfj. A record lives in the ring buffer and is borrowed
 * inside tfj's callback; nothing else may keep it. Both sides are built from one checkout and the skeleton embeds the
 * object, so the layout has no version of its own.
 *
 * Units: times are bpf_ktime_get_ns() (CLOCK_MONOTONIC of this kernel); ports are in host order; addresses are 16
 * bytes, IPv4 as v4-mapped; stream positions count bytes of one direction from 0 (the first byte after the SYN),
 * unwrapped to 64 bits in the kernel.
 *
 * Order inside a process: `order` is drawn from a counter of the process, at the entry of a send, connect, close or
 * fork and at the return of a receive, accept or wait. It only ever grows; it is not dense. 0 = the record belongs to
 * no process (softirq). OPEN and CONNECT of one connect() share theirs. EXIT is far above all others (1 << 48, that of the
 * process 2 << 48), because the kernel announces it before it closes the process's sockets.
 *
 * Sockets are named by cookies. A socket can connect again after it failed or was disconnected: an OPEN begins a new end,
 * whatever its cookie was used for before. CLOSE is charged to a task only when that task's own call (or death) did it;
 * what the peer or the network did has no task.
 */
#ifndef BPF_RECORD_H
#define BPF_RECORD_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* X(NAME, struct, what it is) */
#define RECORD_KINDS(X)                                                                            \
	X(FORK, rec_fork, "a traced task made a process or a thread (in the parent)")              \
	X(EXEC, rec_exec, "a traced process replaced its program")                                 \
	X(EXIT, rec_exit, "a traced thread ended; REC_F_GROUP: the last one of its process")       \
	X(WAIT, rec_wait, "wait4/waitid returned a child")                                         \
	X(APPEAR, rec_exec, "a task that we did not start used a socket of ours")                  \
	X(LISTEN, rec_listen, "a socket began to listen")                                          \
	X(OPEN, rec_open, "a connect sent, or is about to send, its SYN: names the connector end") \
	X(CONNECT, rec_connect, "connect() returned")                                              \
	X(ESTABLISHED, rec_established, "an end of a connection knows both sequence numbers")      \
	X(FAILED, rec_failed, "a connection attempt ended without being established")              \
	X(ACCEPT, rec_accept, "accept() returned")                                                 \
	X(SEND, rec_transfer, "a send returned")                                                   \
	X(RECV, rec_transfer, "a receive returned bytes, end of file or an error")                 \
	X(CLOSE, rec_close, "this end said that it sends no more (close, shutdown, exit)")         \
	X(RESET, rec_close, "an RST of the peer ended this end (no task)")                         \
	X(DESTROY, rec_close, "the kernel forgot this end: final positions (no task)")             \
	X(CONTENT, rec_content, "the first bytes of a send that has begun")                        \
	X(DATAGRAM_SENT, rec_datagram, "a send of a datagram returned")                            \
	X(DATAGRAM_TAKEN, rec_datagram, "a receive returned a datagram, or an error")              \
	X(LOCAL, rec_local, "an end of a unix-domain stream or pipe is used for the first time")   \
	X(FAULT, rec_fault, "a fault's moment came")

enum rec_kind {
	REC_NONE,
#define X(name, type, text) REC_##name,
	RECORD_KINDS(X)
#undef X
	REC_KIND_COUNT,
};

enum rec_flag {
	REC_F_GROUP = 1 << 0,	  /* EXIT: the whole process; FORK: a thread, not a process */
	REC_F_CONTINUED = 1 << 1, /* SEND: continues a short write, same message; LOCAL: is of the CONNECT or ACCEPT of its id */
	REC_F_SHUTDOWN = 1 << 2,  /* CLOSE: by shutdown(), not close() */
	REC_F_RST = 1 << 3,	  /* CLOSE: an RST was sent instead of a FIN */
	REC_F_EXITING = 1 << 4,	  /* CLOSE: the process was ending */
	REC_F_INTERLEAVED = 1 << 5, /* SEND: another writer got in between; the parts are records of their own, same
				       message, all but the first CONTINUED: every range holds bytes of one send */
	REC_F_ACCEPTOR = 1 << 6,  /* ESTABLISHED, DESTROY: this end was accepted, it did not connect */
	REC_F_URGENT = 1 << 7,	  /* RECV: MSG_OOB, position not moved */
	REC_F_GAVE_UP = 1 << 8,	  /* CLOSE: the kernel ended it (no answer in time, aborted from outside); no task */
	REC_F_EPHEMERAL = 1 << 9, /* LISTEN: the kernel chose the port, not the program. DATAGRAM_*: it did, and is asked there */
	REC_F_REPLY = 1 << 10,	  /* DATAGRAM_*: an answer: to a port that only asks */
	REC_F_TRUNCATED = 1 << 11, /* DATAGRAM_TAKEN: the buffer was full, the rest (if any) is gone */
	REC_F_SKIPPED = 1 << 12,  /* RECV: the byte before pos was urgent; the stream stepped over it */
	REC_F_INFERRED = 1 << 13, /* ACCEPT: nothing returned; this is the first use of the socket, by whom it was used */
	REC_F_OLDER = 1 << 14,	  /* ESTABLISHED: before we looked, by the socket's counters; the task has used it now */
	REC_F_UNKNOWN = 1 << 15,  /* ESTABLISHED, with OLDER: who connected, and first_local, could not be told */
};

/* 48 bytes in front of every record. */
struct rec_head {
	__u64 seq;	 /* CPU << 48 | sequence number on that CPU, from 1; drawn before the record is reserved, so a
			    record that found no room leaves a gap */
	__u64 enter_ns;	 /* SEND, CONNECT, OPEN: entry of the call. RECV, ACCEPT, WAIT: when the call went to sleep, equal to
			    return_ns when it had no need to. Equals return_ns where there is no call */
	__u64 return_ns; /* return of the call */
	__u64 order;	 /* process order, see above */
	__u32 tgid;	 /* process; 0: no task */
	__u32 tid;
	__u16 kind;  /* enum rec_kind */
	__u16 flags; /* enum rec_flag */
	__u32 box;   /* as tfj put it into the scope map */
};

struct rec_addr {
	__u8 ip[16];
	__u16 port;
	__u16 family; /* AF_INET or AF_INET6 of the socket; ip tells whether the traffic is IPv4 */
};

struct rec_fork {
	struct rec_head head;
	__u32 child_tgid;
	__u32 child_tid;
	__u32 ordinal; /* k-th process (or, REC_F_GROUP, k-th thread) that this process made, from 1; 0: a thread that
			  the kernel made for io_uring */
	__u32 clone_flags;
};

#define REC_NAME_MAX 64
struct rec_exec {
	struct rec_head head;
	__u32 parent_tgid;
	__u32 unused;
	char comm[16];
	char name[REC_NAME_MAX]; /* path as given, cut at the front when longer */
};

struct rec_exit {
	struct rec_head head;
	__u32 status; /* as wait() would show it */
	__u32 unused;
};

struct rec_wait {
	struct rec_head head;
	__u32 child_tgid; /* as the caller saw it; it may only have stopped, if the caller asked for that without
			     wanting a status: look whether it has an EXIT */
	__u32 unused;
};

struct rec_listen {
	struct rec_head head;
	__u64 cookie;
	struct rec_addr local;
};

struct rec_open {
	struct rec_head head;
	__u64 cookie;
	struct rec_addr remote;
	__u32 ordinal; /* k-th connect() that this process entered for that box (or address) and port, from 1 */
};

struct rec_connect {
	struct rec_head head;
	__u64 cookie; /* 0: failed before the socket had anything to send */
	struct rec_addr remote;
	__u32 ordinal;
	__s32 result; /* 0, -EINPROGRESS (the outcome comes as ESTABLISHED or FAILED) or another -errno */
	__u32 local;  /* 1: a unix-domain socket, cookie is its `id`; the rest is 0 */
};

struct rec_established {
	struct rec_head head; /* enter_ns: when the SYN left; 0 at the end that accepts. No task, but with OLDER */
	__u64 cookie;
	struct rec_addr local;
	struct rec_addr remote;
	__u32 first_local;  /* sequence number of the first byte this end sends: ISN + 1 */
	__u32 first_remote; /* the same of the peer; the two, swapped, are what the peer's end shows */
};

struct rec_failed {
	struct rec_head head;
	__u64 cookie;
	__s32 error; /* -errno: -ECONNREFUSED, -ETIMEDOUT, ...; 0 = closed before an answer came */
	__u32 unused;
};

struct rec_accept {
	struct rec_head head;
	__u64 cookie; /* 0 when result < 0 */
	__s32 result; /* descriptor or -errno */
	__u32 local;  /* as in rec_connect */
};

struct rec_transfer {
	struct rec_head head;
	__u64 cookie;
	__u64 pos;     /* of the first byte */
	__s64 result;  /* bytes, 0 = end of file, or -errno (EAGAIN is not recorded) */
	__u32 message; /* SEND: its number in this direction, from 1; RECV: 0 */
	__u16 local;   /* 1: cookie is the `id` of a LOCAL, pos is counted as calls return */
	__u16 content; /* SEND: `number` of the CONTENT that it is the send of; 0: none */
};

struct rec_datagram {
	struct rec_head head; /* SENT: order and stamps are of the return: nothing is seen of the entry */
	__u64 socket;	/* tells it from other sockets: its cookie, or, if none was made, its address */
	__u64 digest;	/* of the content, bpf/digest.bpf.h; 0: not known */
	__s64 result;	/* bytes or -errno. TAKEN: as returned; with MSG_TRUNC that is more than the program got */
	struct rec_addr local; /* ip is 0 where the socket has none */
	struct rec_addr remote; /* port 0: not known */
	__u32 message; /* SENT: its number among those of this asker to this target, or of the answers, from 1; 0: not counted */
	__u32 asker;   /* tgid of the process that asks, be it this one or the other; 0: not known */
};

enum rec_local_kind { REC_LOCAL_UNIX, REC_LOCAL_PIPE };

/*
 * In the process that uses it. REC_F_CONTINUED: a CONNECT or ACCEPT of the same id comes before it, and is of this end; else
 * it begins one. REC_F_ACCEPTOR: this end was accepted; the second one of a socketpair(); the reading end of a pipe.
 */
struct rec_local {
	struct rec_head head;
	__u64 id;     /* what other records call it, an address: used again when this end is gone */
	__u64 number; /* never used again. 0: not known yet, only the name is; comes after a CONNECT */
	__u64 peer;   /* the peer's */
	__u32 kind;   /* enum rec_local_kind */
	__u32 ordinal; /* not the acceptor: k-th of that kind and name that this process connected, or was first to use */
	char name[REC_NAME_MAX]; /* of the acceptor's socket or the FIFO, cut at the front; @ for an abstract one; "": none */
};

struct rec_close {
	struct rec_head head;
	__u64 cookie;
	__u64 sent;	/* bytes of the program that this end ever queued */
	__u64 received; /* bytes that the program ever took */
	__u64 unacked;	/* of `sent`: not acknowledged by the peer; DESTROY: never delivered */
	__u64 unread;	/* arrived, but not taken by the program */
};

/*
 * In the task whose call brought the moment about; its order is before that of the SEND or RECV it was found at.
 */
struct rec_fault {
	struct rec_head head;
	__u32 id;
	__u32 state;   /* enum rule_state (bpf/fault.h): FIRED or WOULD_FIRE */
	__u64 cookie;  /* of the task's end of the connection; 0: none */
	__u64 pos;     /* where the message begins in its stream */
	__u64 bytes;   /* that its send asked for; 0: not known here */
	__u32 message; /* 0: none */
	__u32 moment;  /* enum rule_moment */
};

/*
 * Comes before the SEND of the same thread and socket that has its number, which tells how many of the bytes were queued.
 * Another one of that thread in between replaces it: the first send came to nothing. Fewer bytes than both limit and asked:
 * the rest could not be read. Only while content is asked for.
 */
#define REC_CONTENT_MAX 4096
struct rec_content {
	struct rec_head head;
	__u64 cookie;
	__u64 asked; /* bytes that the send is to queue */
	__u32 size;  /* bytes that follow */
	__u16 limit; /* bytes that were to be read */
	__u16 number; /* the thread's, from 1, wraps round, never 0 */
};

/* Counters, a per-CPU array; anything but EMITTED that is not 0 is a loss that the user hears of. */
#define COUNTERS(X)                                                                                \
	X(EMITTED, "records put into the ring buffer")                                             \
	X(LOST_RING, "records lost because the ring buffer was full")                              \
	X(LOST_TASK, "tasks that could not be followed (no memory)")                               \
	X(LOST_SOCKET, "sockets that could not be followed (no memory)")                           \
	X(LOST_ORDINAL, "connection ordinals that could not be counted (map full)")                \
	X(LOST_ACCEPT, "connections of which it could not be noted that nobody had accepted them yet (map full)") \
	X(LOST_NAME, "connections whose name could not be told to their other end, so that no fault finds it there (map full)") \
	X(LOST_PIPE, "uses of pipes that could not be followed (map full)")                        \
	X(LOST_NESTED, "probes that the kernel skipped because one was running on that CPU")

enum counter {
#define X(name, text) COUNTER_##name,
	COUNTERS(X)
#undef X
	COUNTER_COUNT,
};

#endif
