/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine that was switched off knows nothing of its connections when it is on again. */
#ifndef TFJ_FORGET_H
#define TFJ_FORGET_H

/*
 * Ends all TCP connections in a network namespace of ours, also those that nobody has any more and that the kernel only sees off.
 * It tells their peers (RST), as far as packets pass. Listeners stay. 0, -EOPNOTSUP: this kernel cannot (INET_DIAG_DESTROY), or
 * another negative errno.
 */
int connections_forget(int netns);

#endif
