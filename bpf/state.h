/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What tfj writes into the maps: the head of a task's state. The rest of the state belongs to the
 * programs and starts as zeros.
 */
#ifndef BPF_STATE_H
#define BPF_STATE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/*
 * Beside the number of a box: its network namespace is not ours alone. There only tasks are traced
 * that tfj added, with their children, and what they do; never a stranger who has a socket there.
 */
#define BOX_GUEST 0x80000000u

/* What is traced besides TCP. */
enum traced_transport {
	TRACE_UDP = 1 << 1,
	TRACE_UNIX = 1 << 2,
	TRACE_PIPE = 1 << 3,
	TRACE_DEFAULT = TRACE_UDP | TRACE_UNIX,
};

/* A task that joins, see follow.bpf.c. */
struct followed {
	__u32 tgid;
	__u32 tid;
	__u32 parent_tgid;
	__u32 ordinal; /* as in rec_fork: which thread, or child of its parent; 0: a thread for io_uring */
};

struct task_seed {
	__u32 epoch; /* as in the programs' variable; others do not count */
	__u32 box;
	__u32 ignored;
	__u32 older; /* it runs already: follow.bpf.c looks what it is doing */
	__u64 label; /* of the process, fault_label() or fault_label_child() of bpf/fault.h; 0: nobody that a fault could name */
};

#endif
