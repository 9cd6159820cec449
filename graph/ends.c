/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Connections: which two ends belong together, and what they are called. Ends belong together when each shows the
 * other's pair of first sequence numbers; where several share such a pair, addresses and ports must single out one
 * partner on both sides. What stays ambiguous stays apart: an edge that is missing is seen as such, a wrong one is not.
 * Fails only without memory.
 */
#include "graph/build.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An end with a key, as the matching sees it. The key is the connector's view, so that both ends of one are equal. */
struct keyed_end {
	uint32_t from, to; /* first sequence number of the connector's bytes, of the acceptor's */
	uint32_t end;
	bool connector;
	enum transport transport;
};

static int keyed_compare(const void *a, const void *b)
{
	const struct keyed_end *p = a, *q = b;

	if (p->transport != q->transport)
		return p->transport < q->transport ? -1 : 1;
	if (p->from != q->from)
		return p->from < q->from ? -1 : 1;
	if (p->to != q->to)
		return p->to < q->to ? -1 : 1;
	if (p->connector != q->connector)
		return p->connector ? -1 : 1;
	return p->end < q->end ? -1 : p->end > q->end;
}

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && !memcmp(a->ip, b->ip, sizeof(a->ip));
}

static bool tuple_fits(const struct trace *trace, uint32_t connector, uint32_t acceptor)
{
	const struct trace_end *c = &trace->ends[connector], *a = &trace->ends[acceptor];

	return endpoint_equal(&c->local, &a->remote) && endpoint_equal(&c->remote, &a->local);
}

/* The only one of [0, n) whose tuple fits `end`, or NULL. */
static const struct keyed_end *only_fit(const struct trace *trace, const struct keyed_end *end,
					const struct keyed_end *others, size_t n)
{
	const struct keyed_end *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (end->connector ? !tuple_fits(trace, end->end, others[i].end) :
				     !tuple_fits(trace, others[i].end, end->end))
			continue;
		if (found)
			return NULL;
		found = &others[i];
	}
	return found;
}

/* One group of equal keys: connectors first, then acceptors. More than this many is no accident but an attack. */
#define GROUP_MAX 64

static void match_group(const struct trace *trace, const struct keyed_end *group, size_t n, uint32_t *partner)
{
	size_t n_connectors = 0, n_acceptors;
	const struct keyed_end *acceptors, *fit;

	while (n_connectors < n && group[n_connectors].connector)
		n_connectors++;
	acceptors = group + n_connectors;
	n_acceptors = n - n_connectors;
	if (n_connectors == 1 && n_acceptors == 1) { /* the tuples may differ: NAT */
		partner[group[0].end] = acceptors[0].end;
		partner[acceptors[0].end] = group[0].end;
		return;
	}
	if (n > GROUP_MAX)
		return;
	for (size_t i = 0; i < n_connectors; i++) {
		fit = only_fit(trace, &group[i], acceptors, n_acceptors);
		if (!fit || only_fit(trace, fit, group, n_connectors) != &group[i])
			continue;
		partner[group[i].end] = fit->end;
		partner[fit->end] = group[i].end;
	}
}

/* A connector that nobody accepted may have met itself, or another: TCP lets both ends connect. */
static void match_connector(const struct trace *trace, const struct keyed_end *keyed, size_t n,
			    const struct keyed_end *end, uint32_t *partner)
{
	struct keyed_end wanted = { .transport = end->transport, .from = end->to, .to = end->from, .connector = true };
	size_t low = 0, high = n;
	uint32_t found = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (keyed_compare(&keyed[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i < n && i < low + GROUP_MAX && keyed[i].from == wanted.from && keyed[i].to == wanted.to &&
			     keyed[i].connector && keyed[i].transport == wanted.transport; i++) {
		if (partner[keyed[i].end] || !tuple_fits(trace, end->end, keyed[i].end))
			continue;
		if (found)
			return;
		found = keyed[i].end;
	}
	partner[end->end] = found;
	if (found)
		partner[found] = end->end;
}

/* partner[end]: the other end (of a connection of an end with itself, itself), 0 none. */
static int match_ends(const struct build *b, uint32_t *partner)
{
	const struct trace *trace = b->trace;
	struct keyed_end *keyed = malloc((trace->n_ends + 1) * sizeof(*keyed));
	size_t n = 0;

	if (!keyed)
		return -ENOMEM;
	for (size_t i = 1; i <= trace->n_ends; i++) {
		const struct trace_end *end = &trace->ends[i];

		if (!end->keyed || (end->role != END_CONNECTOR && end->role != END_ACCEPTOR) ||
		    build_transport(b, i) == TRANSPORT_UDP)
			continue;
		keyed[n].end = i;
		keyed[n].transport = build_transport(b, i);
		keyed[n].connector = end->role == END_CONNECTOR;
		keyed[n].from = keyed[n].connector ? end->first_local : end->first_remote;
		keyed[n].to = keyed[n].connector ? end->first_remote : end->first_local;
		n++;
	}
	qsort(keyed, n, sizeof(*keyed), keyed_compare);
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && keyed[k].transport == keyed[i].transport && keyed[k].from == keyed[i].from &&
				keyed[k].to == keyed[i].to; k++)
			;
		match_group(trace, keyed + i, k - i, partner);
	}
	for (size_t i = 0; i < n; i++)
		if (keyed[i].connector && !partner[keyed[i].end])
			match_connector(trace, keyed, n, &keyed[i], partner);
	free(keyed);
	return 0;
}

/* The end that names a connection, 0: nothing does. Of datagrams both do. */
static uint32_t naming_end(const struct graph_connection *connection)
{
	return connection->connector || connection->transport != TRANSPORT_UDP ? connection->connector :
										  connection->acceptor;
}

/* By what names it: connector's process, target, ordinal; those without a name behind. */
static int connection_compare(const void *a, const void *b, void *arg)
{
	const struct graph_connection *p = a, *q = b;
	uint32_t end_p = naming_end(p), end_q = naming_end(q);

	if (!end_p != !end_q)
		return end_p ? -1 : 1;
	if (end_p)
		return build_end_compare(arg, end_p, end_q);
	return build_end_compare(arg, p->acceptor, q->acceptor);
}

/* Datagrams of one process to one target, whatever the socket; where the process is not known, from one address. */
static bool same_exchange(const struct trace *trace, const struct graph_connection *p, const struct graph_connection *q)
{
	const struct trace_end *e = &trace->ends[naming_end(p)], *f = &trace->ends[naming_end(q)];

	return p->transport == TRANSPORT_UDP && q->transport == TRANSPORT_UDP && e->process == f->process &&
	       !strcmp(text_or(e->target, ""), text_or(f->target, "")) &&
	       (e->process || endpoint_equal(&e->remote, &f->remote));
}

/* Connections are sorted: what is one, stands together. */
static void number_connections(struct build *b, size_t n_found)
{
	struct graph_connection *all = b->g->connections;
	size_t n = 0;

	for (size_t i = 1; i <= n_found; i++) {
		struct graph_connection found = all[i];

		if (n && same_exchange(b->trace, &all[n], &found)) {
			all[n].connector = all[n].connector ? all[n].connector : found.connector;
			all[n].acceptor = all[n].acceptor ? all[n].acceptor : found.acceptor;
		} else {
			all[++n] = found;
		}
		if (found.connector)
			b->ends[found.connector].connection = n;
		if (found.acceptor)
			b->ends[found.acceptor].connection = n;
	}
	b->g->n_connections = n;
}

static int make_connections(struct build *b, const uint32_t *partner)
{
	const struct trace *trace = b->trace;
	struct graph *g = b->g;
	size_t n = 0;

	g->connections = calloc(trace->n_ends + 1, sizeof(*g->connections));
	if (!g->connections)
		return -ENOMEM;
	for (size_t i = 1; i <= trace->n_ends; i++) {
		struct graph_connection *connection = &g->connections[n + 1];

		/* a row that is all zero was never sent: it is an end only if an event says so */
		if (!b->ends[i].used && trace->ends[i].role != END_CONNECTOR && trace->ends[i].role != END_ACCEPTOR)
			continue;
		if (trace->ends[i].role != END_CONNECTOR && partner[i])
			continue;
		/* both connect: the first by name stands as the connector, the other where an acceptor would */
		if (trace->ends[i].role == END_CONNECTOR && trace->ends[partner[i]].role == END_CONNECTOR &&
		    build_end_compare(trace, partner[i], i) < 0)
			continue;
		/* an end of unknown role stands where an acceptor would: nobody's connect names it */
		if (trace->ends[i].role == END_CONNECTOR) {
			connection->connector = i;
			connection->acceptor = partner[i];
		} else {
			connection->acceptor = i;
		}
		connection->transport = build_transport(b, i);
		connection->connect_vertex = connection->accept_vertex = NO_VERTEX;
		n++;
	}
	qsort_r(g->connections + 1, n, sizeof(*g->connections), connection_compare, (void *)trace);
	number_connections(b, n);
	return 0;
}

/* client~s1:53; ?~s1:53(10.0.0.4:40312) if nobody knows whose address that is. */
static char *exchange_label(const struct trace *trace, const struct trace_end *end, const char *address)
{
	const char *name = end->process && end->process <= trace->n_processes ? trace->processes[end->process].name : NULL;
	const char *target = text_or(end->target, "?");
	char *label = NULL;
	int n;

	if (!name && end->remote.port)
		n = asprintf(&label, "?~%s(%s)", target, address);
	else
		n = asprintf(&label, "%s~%s", text_or(name, "?"), target);
	return n < 0 ? NULL : label;
}

/* client>s1:7000#2; without ordinal #? and the connector's address, which is what tells such connections apart. */
static char *connection_label(const struct trace *trace, const struct graph_connection *connection)
{
	const struct trace_end *end = &trace->ends[connection->connector ? connection->connector :
									     connection->acceptor];
	const struct endpoint *connector = connection->connector ? &end->local : &end->remote;
	char address[GRAPH_ENDPOINT_MAX], *label = NULL;
	int n;

	graph_endpoint_text(connector, address);
	if (connection->transport == TRANSPORT_UDP)
		return exchange_label(trace, end, address);
	if (connection->connector) {
		const char *name = NULL, *target = text_or(end->target, "?");

		if (end->process && end->process <= trace->n_processes)
			name = trace->processes[end->process].name;
		name = text_or(name, "?");
		if (end->ordinal)
			n = asprintf(&label, "%s>%s#%u", name, target, end->ordinal);
		else if (connector->port)
			n = asprintf(&label, "%s>%s#?(%s)", name, target, address);
		else
			n = asprintf(&label, "%s>%s#?", name, target);
	} else if (connection->transport != TRANSPORT_TCP) { /* no address: the socket's number */
		n = asprintf(&label, "?>%s#?(%" PRIu32 ")", text_or(end->target, "?"), end->first_remote);
	} else {
		const char *box = end->box && end->box <= trace->n_boxes ? trace->boxes[end->box].name : NULL;

		n = asprintf(&label, "?>%s:%u#?(%s)", text_or(box, "?"), end->local.port, address);
	}
	return n < 0 ? NULL : label;
}

int build_ends(struct build *b)
{
	struct graph *g = b->g;
	uint32_t *partner = calloc(b->trace->n_ends + 1, sizeof(*partner));
	int err = -ENOMEM;

	if (!partner || (err = match_ends(b, partner)) < 0 || (err = make_connections(b, partner)) < 0)
		goto out;
	for (size_t i = 1; i <= g->n_connections; i++) {
		struct graph_connection *connection = &g->connections[i];

		if (connection->acceptor)
			connection->acceptor_process = b->ends[connection->acceptor].owner;
		connection->label = connection_label(b->trace, connection);
		if (!connection->label) {
			err = -ENOMEM;
			goto out;
		}
	}
out:
	free(partner);
	return err;
}
