/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The lease of a process that records runs: a row that says until when it is certainly there, renewed by a thread with a
 * connection of its own. A process of this machine that was killed is known to be gone at once (/proc); of one on another
 * machine only its lease tells. An advisory lock would do that too, but not on everything that speaks PostgreSQL's protocol.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "collector/store_pg.h"

enum { RENEW_MS = 15000, RETRY_MS = 3000 };

struct pg_lease {
	struct store_pg link; /* of the thread; link.stop ends it */
	struct store_owner owner;
	pthread_t thread;
};

static int owner_put(struct store_pg *s, const struct store_owner *owner, struct error *e)
{
	static const struct pg_sql sql = {
		"INSERT INTO bop_lease (owner_boot, owner_pid_namespace, owner_pid, owner_start, until_ms)"
		" VALUES ($1,$2,$3,$4, " PG_NOW " + $5)"
		" ON CONFLICT (owner_boot, owner_pid_namespace, owner_pid, owner_start) DO UPDATE SET until_ms = excluded.until_ms",
		PG_UNPREPARED
	};
	struct pg_params params = { 0 };

	pg_owner(&params, owner);
	pg_number(&params, PG_LEASE_MS);
	return pg_put(s, &sql, &params, e);
}

int pg_lease_put(struct store_pg *s, struct error *e)
{
	return owner_put(s, &s->lease->owner, e);
}

static int renew(struct store_pg *s, void *arg, struct error *e)
{
	const struct pg_lease *lease = arg;
	int err = owner_put(s, &lease->owner, e);

	return err ? err : pg_collect(s, NULL, 0, "renewing its lease", e);
}

static void *renew_always(void *arg)
{
	struct pg_lease *lease = arg;
	struct pollfd stop = { .fd = lease->link.stop, .events = POLLIN };
	int wait_ms = RENEW_MS;

	while (poll(&stop, 1, wait_ms) <= 0)
		wait_ms = pg_transaction(&lease->link, renew, lease, "renewing its lease", NULL) < 0 ? RETRY_MS : RENEW_MS;
	return NULL;
}

static void lease_free(struct pg_lease *lease)
{
	if (lease->link.stop >= 0)
		close(lease->link.stop);
	pg_disconnect(&lease->link);
	free(lease->link.sent);
	free(lease->link.url);
	free(lease);
}

int pg_lease_keep(struct store_pg *s, const struct store_owner *owner, struct error *e)
{
	struct pg_lease *lease;
	sigset_t all, before;
	int err;

	if (s->lease)
		return 0;
	lease = calloc(1, sizeof(*lease));
	if (!lease)
		return error_set(e, -ENOMEM, "out of memory");
	lease->owner = *owner;
	lease->link.mode = s->mode;
	memcpy(lease->link.name, s->name, sizeof(s->name));
	lease->link.url = strdup(s->url);
	lease->link.stop = eventfd(0, EFD_CLOEXEC);
	sigfillset(&all); /* they are for others */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = lease->link.url && lease->link.stop >= 0 ? -pthread_create(&lease->thread, NULL, renew_always, lease) : -ENOMEM;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err < 0) {
		lease_free(lease);
		return error_set(e, err, "store %s: no thread for its lease: %s", s->name, strerror(-err));
	}
	s->lease = lease;
	return 0;
}

static int forget(struct store_pg *s, void *arg, struct error *e)
{
	struct pg_params params = { 0 };

	pg_owner(&params, arg);
	return pg_query(s,
			"DELETE FROM bop_lease WHERE owner_boot = $1 AND owner_pid_namespace = $2 AND owner_pid = $3 AND owner_start = $4"
			" AND NOT EXISTS (SELECT 1 FROM bop_run r WHERE r.running AND r.owner_boot = $1 AND r.owner_pid_namespace = $2"
			" AND r.owner_pid = $3 AND r.owner_start = $4)",
			&params, NULL, "ending its lease", e);
}

void pg_lease_end(struct store_pg *s)
{
	struct pg_lease *lease = s->lease;

	if (!lease)
		return;
	eventfd_write(lease->link.stop, 1);
	pthread_join(lease->thread, NULL);
	if (s->conn && !s->inside) /* not worth a new connection: it ends by itself */
		forget(s, &lease->owner, NULL);
	lease_free(lease);
	s->lease = NULL;
}
