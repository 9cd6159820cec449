/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See source.h. */
#include "collector/source.h"

#include <errno.h>
#include <stdlib.h>

#include "collector/client.h"
#include "collector/prints.h"
#include "collector/query.h"
#include "collector/reading.h"
#include "collector/run.h"

struct source {
	struct client *client; /* NULL: the store answers */
	struct store *store;
	struct reading *reading; /* of the store */
	uint64_t id; /* of the last request */
};

struct source *source_open(const struct cmd_args *args, enum store_mode mode)
{
	struct source *source;
	struct error e;

	if (args->server && args->store) {
		cmd_failf("--store is the server's to say (bop serve --store); it does not go together with --server");
		return NULL;
	}
	source = calloc(1, sizeof(*source));
	if (!source) {
		cmd_failf("out of memory");
		return NULL;
	}
	if (!args->server)
		source->store = cmd_store_open(args, mode);
	else if (client_open(args->server, &source->client, &e) < 0)
		cmd_fail(&e);
	if (source->store || source->client)
		return source;
	free(source);
	return NULL;
}

void source_close(struct source *source)
{
	if (!source)
		return;
	client_close(source->client);
	reading_free(source->reading);
	store_close(source->store);
	free(source);
}

int source_ask(struct source *source, const struct api_request *request, enum api_answer_kind kind,
	       struct api_answer *ret_answer, struct error *e)
{
	struct api_request numbered = *request;
	struct api_answer answer;
	int err;

	numbered.id = ++source->id;
	err = source->client ? client_ask(source->client, &numbered, &answer, e) :
			       reading_answer(source->store, &numbered, &source->reading, &answer, e);
	if (err < 0)
		return err;
	if (answer.kind == kind) {
		*ret_answer = answer;
		return 0;
	}
	api_answer_fini(&answer);
	return error_set(e, -EBADMSG, "the server answered something else");
}

int source_run(struct source *source, const char *name, uint64_t *ret_run, struct error *e)
{
	Bop__Api__ListRuns ask = BOP__API__LIST_RUNS__INIT;
	struct api_request request = { .kind = API_LIST_RUNS, .list_runs = &ask };
	struct api_answer answer;
	int err = run_name_parse(name, ret_run, e);

	if (err || *ret_run)
		return err;
	ask.newest = true;
	ask.limit = 1;
	err = source_ask(source, &request, API_RUNS, &answer, e);
	if (err < 0)
		return err;
	if (answer.runs->n_rows)
		*ret_run = answer.runs->rows[0]->run;
	else
		err = run_none(e);
	api_answer_fini(&answer);
	return err;
}

/* Page by page. offset: the request's. ret_diffed: of the last page, and of all others. */
static int pages_write(struct source *source, const struct api_request *request, uint64_t run, uint64_t *offset, FILE *out,
		       struct query_diffed *ret_diffed, struct error *e)
{
	struct api_answer answer;
	bool more = true;
	int err = 0;

	for (*offset = 0; more && !err && !ferror(out);) {
		const Bop__Api__Rendered *page;

		err = source_ask(source, request, API_RENDERED, &answer, e);
		if (err < 0)
			return err;
		page = answer.rendered;
		if (page->offset != *offset || page->run != run)
			err = error_set(e, -EBADMSG, "the server answered with another page");
		else if (*offset && page->other != ret_diffed->other)
			err = error_set(e, -EAGAIN, "what run %llu is most like has changed while it was compared: do it again",
					(unsigned long long)run);
		else
			fwrite(page->data.data, 1, page->data.len, out);
		*ret_diffed = (struct query_diffed){ page->other, page->differs };
		*offset += page->data.len;
		more = page->data.len && *offset < page->total;
		if (!err && !more && *offset < page->total)
			err = error_set(e, -EBADMSG, "the server's last pages are missing");
		api_answer_fini(&answer);
	}
	return err;
}

int source_render(struct source *source, Bop__Api__Render *ask, FILE *out, struct error *e)
{
	struct api_request request = { .kind = API_RENDER, .render = ask };
	struct query_diffed none = { .other = 0 };

	return source->client ? pages_write(source, &request, ask->run, &ask->offset, out, &none, e) :
				query_render(source->store, ask, out, e);
}

int source_diff(struct source *source, Bop__Api__Diff *ask, FILE *out, bool *ret_differs, struct error *e)
{
	struct api_request request = { .kind = API_DIFF, .diff = ask };
	struct query_diffed diffed = { .other = 0 };
	int err = source->client ? pages_write(source, &request, ask->run, &ask->offset, out, &diffed, e) :
				   query_diff(source->store, ask, out, &diffed, e);

	if (!err)
		*ret_differs = diffed.differs;
	return err;
}

int source_each_run(void *arg_source, bool prints,
		    int (*on_row)(const struct store_run *row, const struct prints *prints, void *arg), void *arg,
		    struct error *e)
{
	Bop__Api__ListRuns ask = BOP__API__LIST_RUNS__INIT;
	struct api_request request = { .kind = API_LIST_RUNS, .list_runs = &ask };
	struct source *source = arg_source;
	struct api_answer answer;
	bool more = true, has_prints;
	struct prints of_row;
	struct store_run row;
	int err = 0;

	ask.prints = prints;
	while (more && !err) {
		err = source_ask(source, &request, API_RUNS, &answer, e);
		if (err < 0)
			return err;
		more = answer.runs->more && answer.runs->n_rows;
		for (size_t i = 0; i < answer.runs->n_rows && !err; i++) {
			query_row_back(answer.runs->rows[i], &row, &of_row, &has_prints);
			err = on_row(&row, has_prints ? &of_row : NULL, arg);
			if (row.id <= ask.after)
				more = false; /* a server that goes backwards would never end */
			ask.after = row.id;
		}
		api_answer_fini(&answer);
	}
	return err;
}
