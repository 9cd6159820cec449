/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the PostgreSQL backend share: its URL (store_pg_url.c), the connection (store_pg_link.c) and what is
 * sent on it (store_pg_values.c), work that is tried again (store_pg_try.c), the tables (store_pg_tables.c), opening (store_pg_open.c), writing
 * (store_pg.c), ending and removing runs (store_pg_seal.c, store_pg_remove.c), their classes (store_pg_class.c), reading
 * (store_pg_read.c), and the lease of whoever records (store_pg_lease.c).
 *
 * Plain SQL only: no extension, no function of ours, no advisory lock, no LISTEN.
 */
#ifndef COLLECTOR_STORE_PG_H
#define COLLECTOR_STORE_PG_H

#include <libpq-fe.h>

#include "collector/store.h"

#define PG_CONNECT_S 5u	      /* unless the URL has a connect_timeout */
#define PG_ANSWER_MS 15000u   /* without a byte from the server: it is given up */
#define PG_LONG_MS 3600000u   /* the same where the whole of a table is rewritten */
#define PG_PATIENCE_MS 10000u /* of trying again, all together */
#define PG_OPEN_MS 3000u      /* the same for a server that cannot be reached when a store is opened */
#define PG_LOCK_MS 5000u      /* of waiting for another program's transaction */
#define PG_LEASE_MS 60000u
#define PG_NAME_MAX 256u
#define PG_PARAMS_MAX 32

/* Kinds of statements that a connection prepares once, when it needs them first. The others are sent as they are. */
#define PG_PREPARED(X) \
	X(PG_RUN_HOLD)    /* that a run is still being recorded, and stays so until the end of the transaction */ \
	X(PG_BATCH_PUT)   \
	X(PG_BATCH_READ)  \
	X(PG_CLASS_FIND)  \
	X(PG_CLASS_NEAR)

enum pg_prepared {
	PG_UNPREPARED,
#define X(name) name,
	PG_PREPARED(X)
#undef X
	PG_PREPARED_COUNT,
};

struct pg_sql {
	const char *text;
	enum pg_prepared prepared;
};

/* Of a statement; all binary. Values are borrowed, but for numbers and prints. */
struct pg_params {
	int n;
	Oid types[PG_PARAMS_MAX];
	const char *values[PG_PARAMS_MAX];
	int lengths[PG_PARAMS_MAX];
	uint64_t room[PG_PARAMS_MAX][2]; /* for numbers and prints, in network order */
	bool full;
};

/* What kind of failure the last one was. */
enum pg_failure {
	PG_FINAL, /* trying again does not help */
	PG_AGAIN, /* another transaction was in the way */
	PG_LOST,  /* no connection, or no answer */
};

struct pg_statement; /* of a transaction that is still being put together: store_pg.c */
struct pg_lease;     /* store_pg_lease.c */

struct store_pg {
	struct store store;
	char *url;
	char name[PG_NAME_MAX]; /* of the store: the URL without its password */
	enum store_mode mode;
	PGconn *conn; /* NULL: none, or lost */
	bool prepared[PG_PREPARED_COUNT];
	struct pg_sent {
		bool wanted; /* by the caller */
		enum pg_prepared prepares;
	} *sent; /* and not answered yet */
	size_t n_sent, cap_sent;
	bool begin, inside; /* the next statement begins a transaction; one is open */
	enum pg_failure failure;
	bool unsure;  /* of this work's commit, tried earlier, no answer came */
	bool had_link; /* there was a connection once */
	bool patient;  /* what is sent now may take long */
	uint64_t until_ns; /* what fails then is not tried again */
	int stop; /* a descriptor: once it can be read, nothing is waited for any more. -1: none */
	/* between store_begin() and store_commit() */
	bool collecting, leasing; /* the latter: and it makes this process the owner of a run */
	struct pg_statement *statements;
	uint64_t held; /* run that the statements are about */
	bool whole;    /* within store_transaction(): all is part of that */
	uint64_t created; /* the last run that was created in it */
	struct pg_lease *lease; /* NULL: nothing was recorded through this store yet */
};

extern const struct store_ops store_pg_ops;

static inline struct store_pg *pg_of(struct store *store)
{
	return (struct store_pg *)store; /* store is its first member */
}

/* store_pg_url.c */
int pg_url_check(const char *url, struct error *e);
PGconn *pg_url_connect(const char *url, bool readonly); /* waits; NULL: no memory */

/* store_pg_values.c */
void pg_number(struct pg_params *params, uint64_t value); /* STORE_UNKNOWN becomes NULL */
void pg_bool(struct pg_params *params, bool value);
void pg_text(struct pg_params *params, const char *text); /* NULL is NULL; well-formed UTF-8 or the server refuses it */
void pg_bytes(struct pg_params *params, const void *bytes, size_t size); /* NULL is NULL */
void pg_owner(struct pg_params *params, const struct store_owner *owner); /* four of them */
void pg_print(struct pg_params *params, const struct print *print); /* its 16 bytes, as print_text() writes them */
void pg_octets(struct pg_params *params, const char *text);		 /* a text that may be anything, as bytes */
void pg_get_print(const PGresult *result, int row, int column, struct print *print); /* both numbers of it */
uint64_t pg_get_number(const PGresult *result, int row, int column);	 /* NULL is STORE_UNKNOWN */
bool pg_get_bool(const PGresult *result, int row, int column);
char *pg_get_text(const PGresult *result, int row, int column); /* borrowed from result; NULL for NULL */
const void *pg_get_bytes(const PGresult *result, int row, int column, size_t *ret_size);

/* store_pg_link.c */
int pg_connect(struct store_pg *s, struct error *e); /* if it is not */
void pg_disconnect(struct store_pg *s);
/* Sends without waiting, and of a result only whether it failed is wanted. */
int pg_put(struct store_pg *s, const struct pg_sql *sql, const struct pg_params *params, struct error *e);
int pg_want(struct store_pg *s, const struct pg_sql *sql, const struct pg_params *params, struct error *e); /* its result, too */
/*
 * Waits for what was sent. Results of the n statements of pg_want(), in their order; freed with PQclear(). Sets s->failure if it
 * fails, then there are none.
 */
int pg_collect(struct store_pg *s, PGresult **ret_results, size_t n, const char *doing, struct error *e);
/* One statement, and what was sent before. ret_result may be NULL. */
int pg_query(struct store_pg *s, const char *sql, const struct pg_params *params, PGresult **ret_result, const char *doing,
	     struct error *e);
/* The same for a number that it selects: 0 without a row, or with NULL. */
int pg_query_number(struct store_pg *s, const char *sql, const struct pg_params *params, uint64_t *ret_number, const char *doing,
		    struct error *e);
/* Only puts it: with numbers for its places. */
int pg_put_numbers(struct store_pg *s, const char *sql, uint64_t a, uint64_t b, struct error *e);
void pg_undo(struct store_pg *s); /* rolls back what is open */
void pg_patience(struct store_pg *s, uint64_t ms); /* so long from now on what fails is tried again */
bool pg_is(const PGresult *result, const char *state); /* an SQLSTATE */

/* store_pg_try.c */
typedef int pg_work(struct store_pg *s, void *arg, struct error *e);
/*
 * Does work in a transaction (or without one), again when another transaction was in the way or the connection was lost,
 * for a bounded time. It must do the same each time; s->unsure: what it did earlier may be there.
 */
int pg_transaction(struct store_pg *s, pg_work *work, void *arg, const char *doing, struct error *e);
int pg_read(struct store_pg *s, pg_work *work, void *arg, struct error *e);
/* A read of one statement. */
int pg_ask(struct store_pg *s, const char *sql, const struct pg_params *params, PGresult **ret_result, struct error *e);

/* store_pg.c */
int pg_statements_put(struct store_pg *s, struct error *e); /* those of the transaction that is put together */
void pg_statements_forget(struct store_pg *s);

/*
 * store_pg_class.c. Finds or makes the class of a run that is sealed, says in the row whose it is, and removes what it recorded if it is
 * a repeat and may_drop. Within a transaction; run is only read, what it gets is in *ret.
 */
struct pg_verdict {
	uint64_t class_id, kept;
	bool new_class;
};
int pg_class_settle(struct store_pg *s, const struct store_run *run, const struct store_class *class, const struct store_seal *how,
		    bool may_drop, struct pg_verdict *ret, struct error *e);
/* What was said of a run that was settled before. */
int pg_class_again(struct store_pg *s, uint64_t id, struct pg_verdict *ret, struct error *e);
/* After a run of it was removed or lost its events: who is first and kept now; without runs it goes. Within a transaction. */
int pg_class_review(struct store_pg *s, uint64_t class, struct error *e);

/* store_pg_near.c. Of a class; within a transaction. */
int pg_sketch_put(struct store_pg *s, uint64_t class, const char *experiment, const struct sketch *sketch, struct error *e);
int pg_sketch_remove(struct store_pg *s, uint64_t class, struct error *e);

/*
 * What store.h calls `kept`, from bop_run r. The column is NULL in a run with events of its own, 0 in one that lost them, else
 * the number of the run whose events stand for its own: which may be gone, or may have lost them.
 */
#define PG_KEPT                                                                                                         \
	"CASE WHEN r.kept IS NULL THEN r.id WHEN r.kept = 0 THEN 0 ELSE coalesce((SELECT w.id FROM bop_run w"           \
	" WHERE w.id = r.kept AND w.kept IS NULL), 0) END"

/* store_pg_read.c: store_run_get() without trying again, as a part of other work. */
int pg_run_read(struct store_pg *s, uint64_t id, struct store_run **ret_run, struct error *e);

/* Members of store_ops. */
int pg_run_adopt(struct store *store, uint64_t id, const struct store_owner *owner, struct error *e);
int pg_run_seal(struct store *store, struct store_run *run, const struct store_process *processes, size_t n,
		const struct store_class *class, const struct store_seal *how, struct error *e);
int pg_run_class(struct store *store, struct store_run *run, const struct store_class *class, const struct store_seal *how,
		 struct error *e);
int pg_run_remove(struct store *store, uint64_t id, struct error *e);
int pg_run_drop(struct store *store, uint64_t id, uint64_t uses, struct error *e);
int pg_run_fold(struct store *store, uint64_t id, struct error *e);
int pg_run_size(struct store *store, uint64_t id, uint64_t *ret_bytes, struct error *e);
int pg_room(struct store *store, bool tidy, uint64_t *ret_bytes, struct error *e);
int pg_sweep(struct store *store, store_go_on *go_on, void *arg, struct error *e);
int pg_class_find(struct store *store, const char *experiment, const unsigned char *plan_key,
		  const struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT], struct store_class **ret_class, struct error *e);
int pg_class_get(struct store *store, uint64_t id, struct store_class **ret_class, struct error *e);
int pg_each_class(struct store *store, const char *experiment, store_on_class *on_class, void *arg, struct error *e);
int pg_class_near(struct store *store, const struct store_near *near, store_on_candidate *on_candidate, void *arg, struct error *e);
int pg_run_baseline(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e);
int pg_run_get(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e);
int pg_run_last(struct store *store, uint64_t *ret_id, struct error *e);
int pg_each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg, struct error *e);
int pg_each_stream(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e);
int pg_each_process(struct store *store, uint64_t run, store_on_process *on_process, void *arg, struct error *e);
int pg_each_batch(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e);

/* store_pg_tables.c */
int pg_tables_check(struct store_pg *s, struct error *e); /* 1: ours, 0: none, else refused */
int pg_tables_make(struct store_pg *s, struct error *e);  /* also brings old ones up to date */

/*
 * store_pg_lease.c: who records says so every while, by the server's clock, so that others can tell, on whatever machine, that he is
 * gone. From the first run on, by a thread of its own, as long as the store is open.
 */
#define PG_NOW "CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)" /* in ms */
int pg_lease_keep(struct store_pg *s, const struct store_owner *owner, struct error *e);
int pg_lease_put(struct store_pg *s, struct error *e); /* in a transaction */
void pg_lease_end(struct store_pg *s);

#endif
