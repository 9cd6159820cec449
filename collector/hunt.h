/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `bop ldfi`: the loop of ldfi/ on a real system. Asks a server to run each plan, and what came of it (GetMessages, GetSupports), until
 * there is a violation, which it makes as small as it can (Minimize), repeats and draws, or no plan is left. Speaks only the API.
 */
#ifndef COLLECTOR_HUNT_H
#define COLLECTOR_HUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/cmd.h"
#include "collector/remote.h"
#include "ldfi/loop.h"

struct hunt_settings {
	struct loop_settings loop; /* roles and processes are filled in by hunt_open() */
	struct cmd_texts boxes, processes; /* that may be hit, by name; none of both: all */
	bool symmetry;	    /* members of the experiment's roles can change places */
	bool workloads;	    /* may crash as well */
	uint64_t confirm;   /* how often a violation is repeated */
	const char *file;   /* of the experiment, as the user said it */
	const char *server; /* for the command that repeats it: NULL: none, "": the usual one */
	const char *picture; /* NULL: NAME-ldfi.svg */
	bool json;
};

struct hunt;

/* What the experiment has is asked for here. All but hunt is borrowed until hunt_free(). -EINVAL: it has no such box, ... */
int hunt_new(const struct hunt_settings *settings, struct remote *remote, struct hunt **ret_hunt, struct error *e);
void hunt_free(struct hunt *hunt);

/*
 * Until the end; says on stdout how it goes. *ret_status: what bop exits with. An error: it could not go on; -EINTR: the user stopped it.
 */
int hunt_go(struct hunt *hunt, int *ret_status, struct error *e);

#endif
