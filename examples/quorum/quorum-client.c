/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stores values on several servers. A value counts as stored when a majority has answered, the
 * client does not wait for the others: late answers to an earlier value are read and forgotten.
 *
 * With -t clients take turns: each begins at a moment of its own, and turns to the next server when
 * the one before has answered, without letting go of it. If the servers serve one client after the
 * other (-1), whoever the first server takes first is first everywhere.
 */
#include <poll.h>
#include <sys/random.h>

#include "../message.h"

#define MAX_SERVERS 16

static struct peer servers[MAX_SERVERS];
static int n_servers;

/* Reads what has arrived from one server. Returns how many of the answers were the wanted one. */
static int answers_read(struct peer *server, const char *wanted)
{
	char body[MESSAGE_MAX];
	int size, n = 0;

	if (peer_fill(server) <= 0) {
		peer_close(server);
		return 0;
	}
	while ((size = peer_next(server, body)) > 0)
		n += !strcmp(body, wanted);
	if (size < 0)
		peer_close(server);
	return n;
}

/* Returns how many servers have answered: a majority, or as many as are left. */
static int value_put(const char *key, int value)
{
	char put[200], wanted[200];
	struct pollfd fds[MAX_SERVERS];
	int stored = 0;

	snprintf(put, sizeof(put), "put %s %d", key, value);
	snprintf(wanted, sizeof(wanted), "stored %s %d", key, value);
	for (int i = 0; i < n_servers; i++)
		if (servers[i].fd >= 0 && peer_send(&servers[i], put) < 0)
			peer_close(&servers[i]);
	while (stored <= n_servers / 2) {
		int left = 0;

		for (int i = 0; i < n_servers; i++) {
			fds[i] = (struct pollfd){ .fd = servers[i].fd, .events = POLLIN };
			left += servers[i].fd >= 0;
		}
		if (!left || poll(fds, n_servers, -1) < 0)
			break;
		for (int i = 0; i < n_servers && stored <= n_servers / 2; i++)
			if (servers[i].fd >= 0 && fds[i].revents)
				stored += answers_read(&servers[i], wanted);
	}
	return stored;
}

/* One server, one value. Returns 1 when it is stored there. */
static int value_put_to(struct peer *server, const char *key, int value)
{
	char put[200], wanted[200];
	int stored = 0;

	snprintf(put, sizeof(put), "put %s %d", key, value);
	snprintf(wanted, sizeof(wanted), "stored %s %d", key, value);
	if (peer_send(server, put) < 0)
		return 0;
	while (!stored && server->fd >= 0)
		stored = answers_read(server, wanted);
	return stored;
}

/* Sleeps for up to 10 ms. */
static void moment_choose(void)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), 0) < 0)
		die("getrandom");
	usleep(random % 10000);
}

static int values_put_in_turn(char **argv)
{
	int values = atoi(argv[3]), stored, failed = 0;

	moment_choose();
	for (int value = 1; value <= values; value++) {
		stored = 0;
		for (int i = 0; i < n_servers; i++) {
			if (value == 1)
				peer_connect(&servers[i], argv[1], argv[4 + i], argv[2], 1);
			stored += value_put_to(&servers[i], argv[1], value);
		}
		printf("value %d is on %d of %d servers\n", value, stored, n_servers);
		failed |= stored <= n_servers / 2;
	}
	return failed;
}

static int values_put(char **argv)
{
	int stored, failed = 0;

	for (int i = 0; i < n_servers; i++)
		peer_connect(&servers[i], argv[1], argv[4 + i], argv[2], 1);
	for (int value = 1; value <= atoi(argv[3]); value++) {
		stored = value_put(argv[1], value);
		printf("value %d is on %d of %d servers\n", value, stored, n_servers);
		failed |= stored <= n_servers / 2;
	}
	return failed;
}

int main(int argc, char **argv)
{
	int failed, in_turn = argc > 1 && !strcmp(argv[1], "-t");

	argv += in_turn;
	argc -= in_turn;
	if (argc < 5 || argc > 4 + MAX_SERVERS) {
		fprintf(stderr, "usage: quorum-client [-t] NAME PORT VALUES SERVER...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	n_servers = argc - 4;
	failed = in_turn ? values_put_in_turn(argv) : values_put(argv);
	for (int i = 0; i < n_servers; i++)
		peer_close(&servers[i]);
	return failed;
}
