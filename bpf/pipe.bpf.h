/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pipes and FIFOs, seen where the calls that move their bytes return: only when a run asks for them, because that costs
 * every process of the machine something for each of its reads and writes.
 *
 * The bytes of a pipe are counted from when a traced task first uses it, on both sides, as calls return: exact with one
 * thread that writes and one that reads.
 */
#ifndef BPF_PIPE_BPF_H
#define BPF_PIPE_BPF_H

#include "bpf/local.bpf.h"

#define PIPEFS_MAGIC 0x50495045

struct pipe_key {
	__u64 inode;
	__u64 device; /* 0: no file system shows it */
};

struct pipe_state {
	__u64 number; /* 0: not followed */
	__u64 sides[2]; /* bytes read, bytes written */
	__u32 message;
	__u32 told[2];
	__u32 unused;
};

/* Nothing tells when a pipe goes: they stay until the run ends. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pipe_key);
	__type(value, struct pipe_state);
} pipes SEC(".maps") __weak;

struct pipe_look {
	struct pipe_key key;
	struct file *file;
	struct pipe_inode_info *pipe;
};

/* The pipe behind a descriptor of the current task; 0: it is none. */
static __always_inline int pipe_find(struct task_struct *task, int fd, struct pipe_look *look)
{
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **slot = BPF_CORE_READ(fdt, fd), *file = 0;
	struct pipe_inode_info *pipe;
	struct inode *inode;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(fdt, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), slot + fd);
	inode = file ? BPF_CORE_READ(file, f_inode) : 0;
	if (!inode || (BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFIFO)
		return 0;
	pipe = BPF_CORE_READ(inode, i_pipe);
	if (!pipe)
		return 0;
	look->file = file;
	look->key.inode = BPF_CORE_READ(inode, i_ino);
	look->key.device = 0;
	if (BPF_CORE_READ(inode, i_sb, s_magic) != PIPEFS_MAGIC)
		look->key.device = BPF_CORE_READ(inode, i_sb, s_dev) + 1;
	look->pipe = pipe;
	return 1;
}

static __always_inline struct pipe_state *pipe_state(const struct pipe_key *key)
{
	struct pipe_state fresh = {}, *state = bpf_map_lookup_elem(&pipes, key);

	if (state)
		return state;
	fresh.number = __sync_fetch_and_add(&pipe_numbers, 1) + 1;
	bpf_map_update_elem(&pipes, key, &fresh, BPF_NOEXIST); /* the other side may have been quicker */
	state = bpf_map_lookup_elem(&pipes, key);
	if (!state)
		count(COUNTER_LOST_PIPE);
	return state;
}

/* How a record calls an end: its number, too, is never used again. */
static __always_inline __u64 pipe_id(const struct pipe_state *ps, __u32 writes)
{
	return 2 * ps->number + writes;
}

static __always_inline void pipe_tell(struct pipe_state *ps, const struct pipe_look *look, struct task_struct *task,
				      struct task_state *state, __u32 writes)
{
	__u64 now = bpf_ktime_get_ns();
	struct file *file = look->file;
	struct rec_local *record;

	if (ps->told[writes & 1] || __sync_lock_test_and_set(&ps->told[writes & 1], 1))
		return;
	record = record_reserve(sizeof(*record), REC_LOCAL, writes ? 0 : REC_F_ACCEPTOR, state->seed.box,
				order_draw(task, state), now, now, task);
	if (!record)
		return;
	record->id = record->number = pipe_id(ps, writes);
	record->peer = pipe_id(ps, !writes);
	record->kind = REC_LOCAL_PIPE;
	__builtin_memset(record->name, 0, sizeof(record->name));
	if (look->key.device)
		bpf_probe_read_kernel_str(record->name, sizeof(record->name),
					  BPF_CORE_READ(file, f_path.dentry, d_name.name));
	record->ordinal = writes ? local_ordinal(task, REC_LOCAL_PIPE, record->name) : 0;
	record_submit(record);
}

static __noinline int pipe_moved(struct task_struct *task, struct pipe_look *look, __u32 writes, __s64 result)
{
	struct task_state *state = task_find(task);
	struct rec_transfer *record;
	struct pipe_state *ps;
	struct pipe_inode_info *pipe;
	__u64 now, pos, enter, written;
	__u32 side = writes & 1;

	if (!state || !look)
		return 0;
	ps = pipe_state(&look->key);
	if (!ps || !ps->number)
		return 0;
	pipe_tell(ps, look, task, state, writes);
	pipe = look->pipe;
	written = ps->sides[1]; /* before looking whether anything is left */
	pos = result > 0 ? __sync_fetch_and_add(&ps->sides[side], result) : ps->sides[side];
	/* it was empty after all that is counted had been written: what is missing was read in a way that is not seen */
	if (!writes && result > 0 && pos + result < written && BPF_CORE_READ(pipe, head) == BPF_CORE_READ(pipe, tail)) {
		__sync_fetch_and_add(&ps->sides[0], written - result - pos);
		pos = written - result;
	}
	now = bpf_ktime_get_ns();
	enter = writes ? now : call_enter(task, state, now);
	record = record_reserve(sizeof(*record), writes ? REC_SEND : REC_RECV, 0, state->seed.box, order_draw(task, state),
				enter, now, task);
	if (!record)
		return 0;
	record->cookie = pipe_id(ps, writes);
	record->pos = pos;
	record->result = result;
	record->message = writes && result > 0 ? __sync_fetch_and_add(&ps->message, 1) + 1 : 0;
	record->local = 1;
	record->content = 0;
	record_submit(record);
	return 0;
}

static __always_inline int pipe_use(struct task_struct *task, int fd, __u32 writes, __s64 result)
{
	struct pipe_look look = {};

	return pipe_find(task, fd, &look) ? pipe_moved(task, &look, writes, result) : 0;
}

/* A call that can move a pipe's bytes returned. */
static __noinline int pipe_call_returned(struct task_struct *task, struct pt_regs *regs, __u32 call, long result)
{
	struct task_state *state = task_find(task);

	if (!state || state->seed.ignored || is_retry(result))
		return 0;
	switch (call) {
	case NR_READ:
		if (!result && !regs_arg3(regs))
			return 0;
	case NR_READV:
		return pipe_use(task, regs_arg1(regs), 0, result);
	case NR_WRITE:
	case NR_WRITEV:
		return result ? pipe_use(task, regs_arg1(regs), 1, result) : 0;
	case NR_SENDFILE:
		return result > 0 ? pipe_use(task, regs_arg1(regs), 1, result) : 0;
	case NR_SPLICE:
		pipe_use(task, regs_arg1(regs), 0, result);
		return result > 0 ? pipe_use(task, regs_arg3(regs), 1, result) : 0;
	case NR_TEE:
		return result > 0 ? pipe_use(task, regs_arg2(regs), 1, result) : 0;
	case NR_VMSPLICE:
		return result > 0 ? pipe_use(task, regs_arg1(regs), 1, result) : 0;
	}
	return 0;
}

#endif
