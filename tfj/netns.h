/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Network namespaces of the calling thread: its own, and visits to others. */
#ifndef TFJ_NETNS_H
#define TFJ_NETNS_H

/* The one that it is in: a descriptor, the caller's to close, or negative errno. */
int netns_own(void);

/* The thread is in that namespace until it comes home. Returns the way home, or negative errno: it has stayed where it was. */
int netns_enter(int netns);

/* Home by that way, which is closed. 0 or negative errno. */
int netns_leave(int home);

#endif
