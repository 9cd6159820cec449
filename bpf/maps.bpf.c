// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Variables shared by all programs; the maps themselves are weak definitions in the header. */
#include "bpf/maps.bpf.h"

const volatile __u64 ring_mask = 0xfff;
const volatile __u64 lane_mask = 0;
const volatile __u32 recv_flags_at = 3;
const volatile __u32 socks_in_table = 0;
const __u8 sock_none[sizeof(struct sock_state)] = {};
volatile __u32 epoch = 1;
volatile __u32 ignoring = 0;
volatile __u32 transports = TRACE_DEFAULT;
volatile __u64 pipe_numbers = 0;
volatile __u32 adopting = 0;
volatile __u32 faulting = 0;
volatile __u32 fault_since = 0;
volatile __u32 syn_tells = 0;
const volatile __u32 fault_able = 0;

char LICENSE[] SEC("license") = "Dual BSD/GPL";
