/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Results that only the return of a system call knows, or a completion of io_uring: accept, connect, listen, wait,
 * the end that splice finds.
 */
#ifndef BPF_CALL_BPF_H
#define BPF_CALL_BPF_H

#include "bpf/begin.bpf.h"
#include "bpf/file.bpf.h"
#include "bpf/local.bpf.h"
#include "bpf/order.bpf.h"
#include "bpf/pipe.bpf.h"
#include "bpf/scope.bpf.h"

/* A unix-domain stream was accepted. */
static __noinline int local_accepted(struct task_struct *task, struct sock *sk, int result)
{
	struct task_state *state = task_find(task);
	__u64 now = bpf_ktime_get_ns(), order;
	struct rec_accept *record;

	if (!state || state->seed.ignored || result < 0)
		return 0;
	local_begins(sk, 0);
	order = order_draw(task, state);
	record = record_reserve(sizeof(*record), REC_ACCEPT, 0, state->seed.box, order, call_enter(task, state, now), now, task);
	if (!record)
		return 0;
	record->cookie = (__u64)sk;
	record->result = result;
	record->local = 1;
	record_submit(record);
	return 0;
}

/*
 * A unix-domain stream was connected. A connect that fails makes none: most are programs that look whether some service of
 * the machine is there.
 */
static __noinline int local_connected(struct task_struct *task, struct sock *sk, int result)
{
	struct task_state *state = task_find(task);
	char name[REC_NAME_MAX] __attribute__((aligned(8)));
	__u64 now = bpf_ktime_get_ns(), order, id = (__u64)sk;
	struct rec_connect *record;
	struct rec_local *local;
	struct sock *peer;
	__u32 ordinal;

	if (!state || state->seed.ignored || result)
		return 0;
	peer = BPF_CORE_READ((struct unix_sock *)sk, peer);
	if (!peer)
		return 0;
	local_name((struct unix_sock *)peer, name);
	ordinal = local_ordinal(task, REC_LOCAL_UNIX, name);
	local_begins(sk, ordinal);
	order = order_draw(task, state);
	record = record_reserve(sizeof(*record), REC_CONNECT, 0, state->seed.box, order, now, now, task);
	if (!record)
		return 0;
	__builtin_memset(&record->remote, 0, sizeof(record->remote));
	record->cookie = id;
	record->ordinal = ordinal;
	record->result = 0;
	record->local = 1;
	record_submit(record);
	local = record_reserve(sizeof(*local), REC_LOCAL, REC_F_CONTINUED, state->seed.box, order_draw(task, state), now, now, task);
	if (!local)
		return 0;
	local->id = id;
	local->number = local->peer = 0;
	local->kind = REC_LOCAL_UNIX;
	local->ordinal = ordinal;
	__builtin_memcpy(local->name, name, REC_NAME_MAX);
	record_submit(local);
	return 0;
}

/* A descriptor of a socket that was accepted. */
static __always_inline int accept_done(struct task_struct *task, struct sock *sk, __u32 box)
{
	struct task_state *state = task_current(task, box);
	__u64 cookie = fd_cookie(sk);

	if (!state || (ignoring && bpf_map_lookup_elem(&ignored_cookies, &cookie)))
		return 0;
	bpf_map_delete_elem(&unaccepted, &cookie);
	accept_emit(task, state, box, cookie, 0, 0);
	return 0;
}

static __noinline int accept_returned(struct task_struct *task, struct sock *sk, int result)
{
	struct task_state *state;
	__u32 box;

	if (is_retry(result))
		return 0;
	box = fd_box(sk);
	if (!box)
		return 0;
	if (result >= 0)
		return accept_done(task, sk, box);
	state = task_current(task, box);
	if (state)
		accept_emit(task, state, box, 0, result, 0);
	return 0;
}

/* listen() gave a port to a socket that had none. */
static __noinline int listen_done(struct task_struct *task, struct sock *sk)
{
	struct task_state *state = task_find(task);
	struct rec_addr local;
	__u16 family;
	__u32 box;
	__be32 v6[4] = {};

	if (!state || !state->listen_cookie || !sk || !sock_is_tcp(sk) || fd_cookie(sk) != state->listen_cookie)
		return 0;
	state->listen_cookie = 0;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family == AF_INET6)
		BPF_CORE_READ_INTO(&v6, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32);
	address_fill(&local, family, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr), v6,
		     BPF_CORE_READ(sk, __sk_common.skc_num));
	if (!local.port)
		return 0;
	box = fd_box(sk);
	listener_note(local.port, box, 1);
	listen_emit(task, state, box, fd_cookie(sk), &local, REC_F_EPHEMERAL);
	return 0;
}

/* Failed before a SYN was made: the connect counts all the same. */
static __always_inline int open_late(struct task_struct *task, struct task_state *state,
				     struct pt_regs *regs, __u32 box, int result)
{
	switch (-result) {
	case 0:	  /* fast open: the SYN comes with the first send */
	case 9:	  /* EBADF */
	case 14:  /* EFAULT */
	case 22:  /* EINVAL */
	case 88:  /* ENOTSOCK */
	case 97:  /* EAFNOSUPPORT */
	case 106: /* EISCONN */
	case 114: /* EALREADY */
		return -1;
	}
	if (address_read(&state->open.remote, regs_arg2(regs)))
		return -1;
	state->open.ordinal = ordinal_draw(task, box, &state->open.remote);
	state->open.order = order_draw(task, state);
	state->open.enter_ns = bpf_ktime_get_ns();
	return 0;
}

static __noinline int connect_returned(struct task_struct *task, struct sock *sk, struct pt_regs *regs, int result)
{
	struct rec_connect *record;
	struct task_state *state;
	__u64 cookie, now, none = 0;
	__u32 box, one = 1;

	box = fd_box(sk);
	if (!box)
		return 0;
	state = task_current(task, box);
	if (!state)
		return 0;
	cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (state->open.cookie && state->open.cookie == cookie) {
		/* a signal: the attempt goes on, whether the call is made again or not */
		if (result == -4 || result <= -512)
			result = -115;
		if (result == -115) /* EINPROGRESS */
			bpf_map_update_elem(&pending, &cookie, &one, BPF_ANY);
	} else {
		if (bpf_map_lookup_elem(&pending, &cookie)) { /* asks for the outcome */
			if (result != -114 && !is_retry(result))
				bpf_map_delete_elem(&pending, &cookie);
			return 0;
		}
		if (is_retry(result) || open_late(task, state, regs, box, result))
			return 0;
		cookie = none;
	}
	state->open.cookie = 0;
	now = bpf_ktime_get_ns();
	record = record_reserve(sizeof(*record), REC_CONNECT, 0, box, state->open.order,
				state->open.enter_ns, now, task);
	if (!record)
		return 0;
	record->cookie = cookie;
	record->remote = state->open.remote;
	record->ordinal = state->open.ordinal;
	record->result = result;
	record->local = 0;
	record_submit(record);
	return 0;
}

/* The child that a wait took away; 0: none (it stopped, continues, or only looked). */
static __always_inline __u32 waited_child(struct pt_regs *regs, __u32 call, int result)
{
	struct {
		__s32 signo, error, code, pad, pid; /* 64-bit siginfo of SIGCHLD */
	} info = {};
	__s32 status = 0;

	if (call == NR_WAIT4) {
		if (regs_arg2(regs))
			bpf_probe_read_user(&status, sizeof(status), (void *)regs_arg2(regs));
		return (status & 0xff) == 0x7f || status == 0xffff ? 0 : result;
	}
	if (result || regs_arg4(regs) & 0x01000000 /* WNOWAIT */ || !regs_arg3(regs))
		return 0;
	bpf_probe_read_user(&info, sizeof(info), (void *)regs_arg3(regs));
	return info.code >= 1 && info.code <= 3 /* CLD_EXITED, KILLED, DUMPED */ ? info.pid : 0;
}

static __noinline int wait_returned(struct task_struct *task, struct pt_regs *regs, __u32 call,
				    int result)
{
	struct task_state *state = task_find(task);
	struct rec_wait *record;
	__u64 order, now, enter;
	__u32 child;

	if (!state || state->seed.ignored || result < 0)
		return 0;
	child = waited_child(regs, call, result);
	if (!child)
		return 0;
	now = bpf_ktime_get_ns();
	order = order_draw(task, state);
	enter = call_enter(task, state, now);
	record = record_reserve(sizeof(*record), REC_WAIT, 0, state->seed.box, order, enter, now,
				task);
	if (!record)
		return 0;
	record->child_tgid = child;
	record->unused = 0;
	record_submit(record);
	return 0;
}

/* The next of these calls begins with its first message again. */
static __always_inline int mmsg_returned(struct task_struct *task)
{
	struct task_state *state = task_find(task);

	if (state)
		state->mmsg_sent = state->mmsg_taken = 0;
	return 0;
}

/* splice() found the end of a connection's stream: no receive tells of that. */
static __noinline int splice_returned(struct task_struct *task, struct pt_regs *regs)
{
	struct task_state *state = task_find(task);
	struct rec_transfer *record;
	struct tcp_sock *tp;
	struct sock *sk;
	__u64 now, order;
	__u32 box, end;

	if (!state || state->seed.ignored || !regs_arg5(regs))
		return 0;
	sk = fd_sock(task, regs_arg1(regs));
	box = sk && sock_is_tcp(sk) ? fd_box(sk) : 0;
	if (!box || !(BPF_CORE_READ(sk, __sk_common.skc_flags) & SOCK_DONE_BIT))
		return 0;
	tp = (struct tcp_sock *)sk;
	end = BPF_CORE_READ(tp, rcv_nxt);
	if (BPF_CORE_READ(tp, copied_seq) != end && BPF_CORE_READ(tp, copied_seq) + 1 != end)
		return 0;
	now = bpf_ktime_get_ns();
	order = order_draw(task, state);
	record = record_reserve(sizeof(*record), REC_RECV, 0, box, order, now, now, task);
	if (!record)
		return 0;
	record->cookie = fd_cookie(sk);
	record->pos = BPF_CORE_READ(tp, bytes_received) - 1; /* less the FIN */
	record->result = 0;
	record->message = 0;
	record->local = record->content = 0;
	record_submit(record);
	return 0;
}

/*
 * Each body is called from here: before Linux 6.2, three functions deep is more stack than a program may have.
 */
static __always_inline int call_returned(struct pt_regs *regs, __u32 call, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sock *sk;

	switch (call) {
	case NR_ACCEPT:
	case NR_ACCEPT4:
		sk = fd_sock(task, result >= 0 ? (int)result : (int)regs_arg1(regs));
		if (!sk)
			return 0;
		if (sock_is_tcp(sk))
			return accept_returned(task, sk, result);
		return sock_is_local(sk) ? local_accepted(task, sk, result) : 0;
	case NR_CONNECT:
		sk = fd_sock(task, regs_arg1(regs));
		if (!sk)
			return 0;
		if (sock_is_tcp(sk))
			return connect_returned(task, sk, regs, result);
		return sock_is_local(sk) ? local_connected(task, sk, result) : 0;
	case NR_LISTEN:
		return result ? 0 : listen_done(task, fd_sock(task, regs_arg1(regs)));
	case NR_SPLICE:
		if (!result)
			splice_returned(task, regs);
		break;
	case NR_WAIT4:
	case NR_WAITID:
		return wait_returned(task, regs, call, result);
	case NR_SENDMMSG:
	case NR_RECVMMSG:
		return mmsg_returned(task);
	}
	return transports & TRACE_PIPE ? pipe_call_returned(task, regs, call, result) : 0;
}

/*
 * A request of io_uring was completed, in the task that has made it or in a thread of the kernel's for it, before the
 * program can see that. request NULL: it has several results. What no request tells is not guessed from the result alone:
 * the descriptor must be of a socket that nobody is known to have accepted.
 */
static __always_inline int request_completed(struct io_kiocb *request, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_find(task);
	struct sock *sk;
	__u64 cookie;
	__u32 box;
	__u8 opcode;

	if (!state || state->seed.ignored || result < 0)
		return 0;
	if (request) {
		opcode = BPF_CORE_READ(request, opcode);
		if (opcode == IORING_OP_LISTEN)
			return listen_done(task, file_sock(BPF_CORE_READ(request, file)));
		if (opcode != IORING_OP_ACCEPT || BPF_CORE_READ((struct io_accept *)request, file_slot))
			return 0;
	}
	sk = fd_sock(task, result);
	box = sk && sock_is_tcp(sk) ? fd_box(sk) : 0;
	if (!box)
		return 0;
	cookie = fd_cookie(sk);
	if (!bpf_map_lookup_elem(&unaccepted, &cookie))
		return 0;
	return accept_done(task, sk, box);
}

#endif
