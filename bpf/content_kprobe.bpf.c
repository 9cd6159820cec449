// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where content is read in the kprobe backend. */
#define HOOK_UNTYPED
#include "bpf/content.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe/tcp_sendmsg")
int content_send_probe(struct pt_regs *ctx)
{
	return content_of_message((struct sock *)function_arg(ctx, 0), (struct msghdr *)function_arg(ctx, 1),
				  function_arg(ctx, 2));
}

SEC("kprobe/tcp_sendpage")
int content_page_probe(struct pt_regs *ctx)
{
	return content_of_page((struct sock *)function_arg(ctx, 0), (struct page *)function_arg(ctx, 1),
			       function_arg(ctx, 2), function_arg(ctx, 3));
}
