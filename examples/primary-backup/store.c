/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Keeps a log of values for any number of clients. As a primary it forwards each value to the
 * backup, over one connection that stays, and answers its client only after the backup has
 * answered.
 */
#include <poll.h>

#include "../message.h"

#define MAX_CLIENTS 64

static FILE *journal;
static struct peer backup = { .fd = -1 };

static int value_store(const char *value)
{
	char answer[MESSAGE_MAX];

	if (fprintf(journal, "%s\n", value) < 0 || fflush(journal))
		die("log");
	if (backup.fd < 0)
		return 0;
	if (peer_send(&backup, value) < 0 || peer_receive(&backup, answer) <= 0)
		return -1;
	return strcmp(answer, "stored") ? -1 : 0;
}

/* Answers what has arrived. Returns -1 when the client, or the backup, is gone. */
static int client_serve(struct peer *client)
{
	char value[MESSAGE_MAX];
	int size = 0;

	if (peer_fill(client) <= 0)
		return -1;
	while ((size = peer_next(client, value)) > 0)
		if (value_store(value) < 0 || peer_send(client, "stored") < 0)
			return -1;
	return size;
}

static void serve(int listener, const sigset_t *waiting)
{
	static struct peer clients[MAX_CLIENTS];
	struct pollfd fds[MAX_CLIENTS + 1] = { { .fd = listener } };
	int n = 0;

	while (!stopped) {
		fds[0].events = n < MAX_CLIENTS ? POLLIN : 0;
		for (int i = 0; i < n; i++)
			fds[i + 1] = (struct pollfd){ .fd = clients[i].fd, .events = POLLIN };
		if (ppoll(fds, n + 1, NULL, waiting) < 0)
			continue;
		for (int i = n - 1; i >= 0; i--) {
			if (fds[i + 1].revents && client_serve(&clients[i]) < 0) {
				peer_close(&clients[i]);
				clients[i] = clients[--n];
			}
		}
		if (fds[0].revents) {
			peer_accept(&clients[n], listener);
			n += clients[n].fd >= 0;
		}
	}
}

int main(int argc, char **argv)
{
	sigset_t waiting;

	if (argc != 3 && argc != 5) {
		fprintf(stderr, "usage: store NAME PORT [BACKUP PORT]\n");
		return 2;
	}
	stop_prepare(&waiting);
	journal = fopen("log", "w");
	if (!journal)
		die("log");
	if (argc == 5)
		peer_connect(&backup, argv[1], argv[3], argv[4], 1);
	serve(port_listen(AF_INET, argv[2]), &waiting);
	return 0;
}
