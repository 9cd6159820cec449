// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hooks of the kprobe backend: the same functions as in trampoline.bpf.c, for kernels that have no trampolines. What a
 * return needs of the arguments is remembered at the entry.
 */
#define HOOK_UNTYPED
#include "bpf/exec.bpf.h"
#include "bpf/function.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe/tcp_sendmsg")
int kprobe_send(struct pt_regs *ctx)
{
	return send_entered((struct sock *)function_arg(ctx, 0), function_arg(ctx, 2));
}

SEC("kprobe/tcp_sendpage")
int kprobe_page(struct pt_regs *ctx)
{
	return send_entered((struct sock *)function_arg(ctx, 0), function_arg(ctx, 3));
}

SEC("kprobe/tcp_rate_check_app_limited")
int kprobe_locked(struct pt_regs *ctx)
{
	return send_locked((struct sock *)function_arg(ctx, 0));
}

SEC("kprobe/sk_stream_wait_memory")
int kprobe_wait(struct pt_regs *ctx)
{
	return send_waits((struct sock *)function_arg(ctx, 0));
}

/* The socket of the send that the current thread is in. */
static __always_inline struct sock *sending(void)
{
	struct task_state *state = task_find(bpf_get_current_task_btf());

	return state ? (struct sock *)state->function.send_sk : 0;
}

SEC("kretprobe/sk_stream_wait_connect")
int kretprobe_connect(struct pt_regs *ctx)
{
	struct sock *sk = sending();

	return sk ? send_locked(sk) : 0;
}

SEC("kretprobe/sk_stream_wait_memory")
int kretprobe_wait(struct pt_regs *ctx)
{
	struct sock *sk = sending();

	return sk ? send_locked(sk) : 0;
}

SEC("kretprobe/tcp_sendmsg")
int kretprobe_send(struct pt_regs *ctx)
{
	struct sock *sk = sending();

	return sk ? send_left(sk, function_result(ctx)) : 0;
}

SEC("kretprobe/tcp_sendpage")
int kretprobe_page(struct pt_regs *ctx)
{
	struct sock *sk = sending();

	return sk ? send_left(sk, function_result(ctx)) : 0;
}

/* A receive from a socket of that box was called. */
static __always_inline int receive_entered(struct pt_regs *ctx, __u32 box)
{
	__u64 flags = function_arg(ctx, 3), old_flags = function_arg(ctx, 4);
	struct task_state *state;

	barrier_var(flags); /* read both: the verifier wants to see where */
	barrier_var(old_flags);
	if (!box)
		return 0;
	state = task_current(bpf_get_current_task_btf(), box);
	if (!state)
		return 0;
	state->receive.cookie = 0; /* of a receive whose return was missed */
	state->function.recv_sk = function_arg(ctx, 0);
	state->function.recv_flags = recv_flags_at == 3 ? flags : old_flags;
	return 0;
}

/* The task whose receive returns, with its socket; NULL: it is none of ours. */
static __always_inline struct task_state *receiving(struct sock **ret_sk)
{
	struct task_state *state = task_find(bpf_get_current_task_btf());

	if (!state || !state->function.recv_sk)
		return 0;
	*ret_sk = (struct sock *)state->function.recv_sk;
	state->function.recv_sk = 0;
	return state;
}

SEC("kprobe/tcp_recvmsg")
int kprobe_receive(struct pt_regs *ctx)
{
	struct sock_state *ss = sock_used((struct sock *)function_arg(ctx, 0));

	return receive_entered(ctx, ss ? ss->box : 0);
}

SEC("kretprobe/tcp_recvmsg")
int kretprobe_receive(struct pt_regs *ctx)
{
	struct sock *sk = 0;
	struct task_state *state = receiving(&sk);

	return state ? receive_returned(sk, function_result(ctx), state->function.recv_flags) : 0;
}

/* udpv6_sendmsg hands what goes to IPv4 on to udp_sendmsg, which leaves it alone. */
static __always_inline int udp_send_entered(struct pt_regs *ctx)
{
	struct sock *sk = (struct sock *)function_arg(ctx, 0);
	__u32 box = fd_box(sk);
	struct task_state *state = box ? task_current(bpf_get_current_task_btf(), box) : 0;

	if (state)
		state->function.send_sk = (__u64)sk;
	return 0;
}

static __always_inline int udp_send_left(struct pt_regs *ctx, struct sock *sk)
{
	struct task_state *state = task_find(bpf_get_current_task_btf());

	if (!state)
		return 0;
	state->function.send_sk = 0;
	return other_sent(sk, function_result(ctx));
}

SEC("kprobe/udp_sendmsg")
int kprobe_udp_send(struct pt_regs *ctx)
{
	struct sock *sk = (struct sock *)function_arg(ctx, 0);

	return peek(sk, __sk_common.skc_family) == AF_INET ? udp_send_entered(ctx) : 0;
}

SEC("kretprobe/udp_sendmsg")
int kretprobe_udp_send(struct pt_regs *ctx)
{
	struct sock *sk = sending();

	return sk && peek(sk, __sk_common.skc_family) == AF_INET ? udp_send_left(ctx, sk) : 0;
}

SEC("kprobe/udpv6_sendmsg")
int kprobe_udp6_send(struct pt_regs *ctx)
{
	return udp_send_entered(ctx);
}

SEC("kretprobe/udpv6_sendmsg")
int kretprobe_udp6_send(struct pt_regs *ctx)
{
	struct sock *sk = sending();

	return sk ? udp_send_left(ctx, sk) : 0;
}

SEC("kprobe/udp_recvmsg")
int kprobe_udp_recv(struct pt_regs *ctx)
{
	return receive_entered(ctx, fd_box((struct sock *)function_arg(ctx, 0)));
}

SEC("kprobe/udpv6_recvmsg")
int kprobe_udp6_recv(struct pt_regs *ctx)
{
	return receive_entered(ctx, fd_box((struct sock *)function_arg(ctx, 0)));
}

static __always_inline int udp_received(struct pt_regs *ctx)
{
	struct sock *sk = 0;
	struct task_state *state = receiving(&sk);

	return state ? other_taken(sk, function_result(ctx), state->function.recv_flags) : 0;
}

SEC("kretprobe/udp_recvmsg")
int kretprobe_udp_recv(struct pt_regs *ctx)
{
	return udp_received(ctx);
}

SEC("kretprobe/udpv6_recvmsg")
int kretprobe_udp6_recv(struct pt_regs *ctx)
{
	return udp_received(ctx);
}

/* Only where there is no tracepoint sched_prepare_exec. */
SEC("kprobe/begin_new_exec")
int kprobe_exec(struct pt_regs *ctx)
{
	return exec_prepared(bpf_get_current_task_btf());
}
