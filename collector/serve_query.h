/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Requests about runs that are kept (query.h), answered beside the loop of `bop serve` by threads of their own: ends of
 * runs do not wait for them. A client has one in work at a time, the clients take turns, and what a client asks beyond
 * a bound is refused as busy: one that asks much costs the others nothing but half of the time.
 */
#ifndef COLLECTOR_SERVE_QUERY_H
#define COLLECTOR_SERVE_QUERY_H

#include "collector/door.h"
#include "proto/api.h"

#define QUERIES_CLIENT_MAX 64u		       /* that wait, of one client */
#define QUERIES_CLIENT_BYTES (2u * API_MAX_REQUEST) /* of those, together */
#define QUERIES_MAX 1024u		       /* of all */

struct serve;
struct queries;

int queries_open(struct serve *serve, struct queries **ret_queries, struct error *e);
void queries_close(struct queries *queries); /* waits for what is in work; nobody is answered */

/* Takes the request; refuses it when there are too many. */
void queries_add(struct queries *queries, const struct door_frame *from, struct api_request *request);
bool queries_cancel(struct queries *queries, const struct door_id *client,
		    uint64_t request); /* false: there is none such */
void queries_client_gone(struct queries *queries, const struct door *door, int fd);

/* For the loop: readable when queries_done() has something to do. */
int queries_fd(const struct queries *queries);
void queries_done(struct queries *queries);

#endif
