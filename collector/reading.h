/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A history that is read page by page: it is loaded once, for the first page, and all pages are of that moment. Whoever asks for the page
 * that comes next gets it from there; any other page loads it anew.
 */
#ifndef COLLECTOR_READING_H
#define COLLECTOR_READING_H

#include "collector/door.h"
#include "collector/store.h"
#include "proto/api.h"

#define READINGS_MAX 4u			   /* that are kept, each of another client */
#define READING_KEPT_NS (60 * 1000000000ull) /* from its first page on: then what is shown would be too old */

struct reading;

void reading_free(struct reading *reading); /* NULL is fine */

/*
 * query_answer(), in whatever thread. *reading: what the last page left there for this one, NULL: nothing; it becomes what the next page
 * can be answered from.
 */
int reading_answer(struct store *store, const struct api_request *request, struct reading **reading, struct api_answer *ret_answer,
		   struct error *e);

/* Those of a server's clients, between two of their requests. */
struct readings;

struct readings *readings_new(void); /* NULL: no memory */
void readings_free(struct readings *readings);
/* That of the client, which is the caller's now; NULL: there is none. */
struct reading *readings_take(struct readings *readings, const struct door_id *client, uint64_t now_ns);
void readings_keep(struct readings *readings, const struct door_id *client, struct reading *reading, uint64_t now_ns); /* takes it; NULL is fine */

#endif
