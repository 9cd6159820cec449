/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is remembered between probes, and for how long: a task's state goes with the task, a
 * socket's with the socket, the rest with the tracer. tfj writes boxes and addresses and adds
 * tasks; everything else is written here.
 */
#ifndef BPF_MAPS_BPF_H
#define BPF_MAPS_BPF_H

#include "bpf/kernel.bpf.h"
#include "bpf/lane.h"
#include "bpf/record.h"
#include "bpf/state.h"

struct send_state {
	__u64 cookie; /* socket of the send that this thread is in; 0: none */
	__u64 sk;     /* its address: a number, compared and never followed */
	__u64 enter_ns;
	__u64 order;
	__u64 pos;	 /* of the first byte of this part */
	__u64 requested; /* bytes asked for, less those of earlier parts */
	__u64 parted;	 /* bytes in earlier parts */
	__u32 message;
	__u32 flags;
	__u32 box; /* the socket's */
	__u16 content; /* number of its CONTENT; 0: there is none */
	__u16 contents; /* the last number of a CONTENT of this thread */
};

/* The receive that this thread is in, once it took bytes. */
struct receive_state {
	__u64 cookie; /* of its socket; 0: none */
	__u64 sk;     /* as above */
	__u64 start;
	__u64 end;
	__u64 parted; /* bytes in earlier parts */
	__u32 box;
};

/* What backends that stand at functions remember of the one that this thread is in. */
struct function_state {
	__u64 send_sk; /* socket that it sends on; 0: none */
	__u64 left;    /* bytes that are not queued yet */
	__u64 recv_sk; /* socket that it receives from; 0: none */
	__u32 seq;     /* number of the next byte of the stream when `left` was right */
	__u32 recv_flags;
};

struct open_state {
	__u64 cookie; /* of the socket that sent a SYN in this thread's connect(); 0: none */
	__u64 enter_ns;
	__u64 order;
	struct rec_addr remote;
	__u32 ordinal;
};

/* A task that runs already can be in a receive, of whose return a probe at the function does not hear. */
enum unseen {
	UNSEEN_NONE,
	UNSEEN_WAITS, /* it may be in one */
	UNSEEN_TOLD,  /* it took bytes, of which a record has told */
};

struct task_state {
	struct task_seed seed; /* what tfj fills in; must come first */
	__u32 exited;
	__u32 silenced; /* rule that killed the process and lets nobody know; 0: none. In the state of its first thread */
	__u32 children; /* these three count for the process, in the state of its first thread */
	__u32 threads;
	__u64 order;
	__u64 last_order; /* the last that this thread drew */
	__u64 sleep_ns;	  /* when this thread went to sleep in a call that waits; 0: did not */
	__u32 sleep_call;
	__u32 sleep_fd;
	__u32 unseen; /* enum unseen */
	__u32 mmsg_sent;  /* datagrams of the sendmmsg() that this thread is in */
	__u32 mmsg_taken; /* and of the recvmmsg() */
	__u64 listen_cookie; /* of the socket that this thread's listen() gives a port to; 0: none */
	struct receive_state receive;
	struct send_state send;
	struct function_state function;
	struct open_state open;
};

enum sock_flag {
	SOCK_F_IGNORED = 1 << 0,
	SOCK_F_ACCEPTOR = 1 << 1,
	SOCK_F_KEYED = 1 << 2, /* has been established: sequence numbers are known */
	SOCK_F_RESET = 1 << 3, /* an RST arrived */
	SOCK_F_FIN = 1 << 4,   /* our FIN is counted in write_seq */
	SOCK_F_BASED = 1 << 5, /* sent something before it was established: `sent` counts already */
	SOCK_F_ACCEPTED = 1 << 6, /* an ACCEPT has told who */
	SOCK_F_OLDER = 1 << 7, /* was there before us */
	SOCK_F_FOREIGN = 1 << 8, /* accepted, and its SYN alone told the name: the connector is on another kernel */
};

/*
 * What every send and receive looks at comes first: a storage's own head and these share a line of the processor's cache.
 */
struct sock_state {
	__u64 cookie;
	__u32 epoch;
	__u32 box;
	__u32 flags;
	__u32 message; /* last number given out */
	__u64 sent; /* positions that were seen last: numbers of sequences less those of the first bytes, in 64 bits */
	__u64 received;
	__u64 taken; /* up to where receives have told of it: what a look at the socket finds beyond is not theirs yet */
	__u32 first_local;
	__u32 first_remote;
	__u64 opened;	 /* position at which `message` was given out */
	__u64 rest;	 /* bytes that a short write left over */
	__u32 rest_tgid; /* whose */
	__u32 rest_message;
	__u64 syn_ns;
	__u64 name; /* of the connection, fault_connection_name(); 0: not known */
	__u32 fault_seen;  /* `faulting` when these were right: */
	__u32 fault_watch; /* moments that there are rules for */
	__u32 fault_rule;  /* the last one that took effect on what this end sends */
	__u64 final_unacked; /* when the connection ended */
	__u64 final_unread;
	__u32 target; /* a connector's: box that it connects to; 0: none */
	__u32 fault_told; /* a connector's: `fault_since` when it told its peer their name */
};

struct target {
	__u64 start; /* with the tgid: tells a process from a later one of the same number */
	__u32 tgid;
	__u32 box; /* 0: ip counts */
	__u8 ip[16];
	__u32 port;
	__u32 kind; /* enum target_kind: what is counted */
};

enum target_kind { TARGET_CONNECT, TARGET_REQUEST, TARGET_REPLY, TARGET_LOCAL };

/* A port of a box: from which datagrams are sent, or where somebody listens. */
struct port_key {
	__u32 box;
	__u32 port;
};

struct port_user {
	__u64 start; /* as in struct target */
	__u32 tgid;
	__u32 serves; /* others ask it: the program chose the port, or was asked before it sent anything */
};

struct ip_key {
	__u8 ip[16];
};

struct cpu_state {
	__u64 seq;
	__u64 counters[COUNTER_COUNT];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} records SEC(".maps") __weak;

/* A struct lane for each CPU; tfj sets both sizes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 4096);
} lanes SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sock_state);
} socks SEC(".maps") __weak;

/* The same by the socket's address, for backends whose programs cannot ask its storage. tfj sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct sock_state);
} sock_table SEC(".maps") __weak;

/* network namespace (cookie) -> box */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} boxes SEC(".maps") __weak;

/* where tasks of ours listen in the boxes of guests */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct port_key);
	__type(value, __u32);
} listeners SEC(".maps") __weak;

/* address -> box */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct ip_key);
	__type(value, __u32);
} addresses SEC(".maps") __weak;

/* connects that a process entered for a target */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct target);
	__type(value, __u32);
} ordinals SEC(".maps") __weak;

/* who sends datagrams from where */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct port_key);
	__type(value, struct port_user);
} port_users SEC(".maps") __weak;

/*
 * sequence numbers of an ignored connector, as its peer will see them; then the accepted socket's
 * cookie
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} ignored_keys SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} ignored_cookies SEC(".maps") __weak;

/*
 * socket (cookie) whose connect() went on without its caller, who has not asked for the outcome yet
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} pending SEC(".maps") __weak;

/* how far older sockets (cookies) had been read when their process was attached; tfj says so */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} older_taken SEC(".maps") __weak;

/* children of listening sockets (cookies) of whose accept nothing has told; one that goes is taken out */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, __u32);
} unaccepted SEC(".maps") __weak;

/* Changes of state that one of the two programs for them has seen, see shared.bpf.c. */
#define CHANGES 32 /* many more than can be nested on a CPU: some stay behind */

struct changes {
	struct {
		__u64 sk; /* the address: a number here, never followed */
		__u64 ns;
		__u32 change; /* from << 8 | to; 0: free */
		__u32 unused;
	} last[CHANGES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct changes);
} changes SEC(".maps") __weak;

/* Set by tfj between open and load. */
extern const volatile __u64
	ring_mask; /* a wake-up for each record whose number has none of these bits */

extern const volatile __u64 lane_mask; /* slots of a lane, a power of two, less 1; 0: there are no lanes */
extern const volatile __u32 recv_flags_at; /* which argument of tcp_recvmsg the flags are, from 0 */
extern const volatile __u32 socks_in_table; /* sock_table is used, not socks */
extern const __u8 sock_none[sizeof(struct sock_state)]; /* zeros */

/* A state of another epoch is not there: that is how everything of the last run is forgotten. */
extern volatile __u32 epoch;
extern volatile __u32 ignoring; /* some task is ignored */
extern volatile __u32 transports; /* bits by enum traced_transport; TCP always is */
extern volatile __u64 pipe_numbers; /* given out */
extern volatile __u32 adopting; /* sockets that are older than the tracer are taken in when a traced task uses them */

#endif
