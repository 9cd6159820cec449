/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeps values for any number of clients: "put KEY VALUE" is stored in file KEY and answered with
 * "stored KEY VALUE". With -1 it serves one client after the other: the next is accepted when the
 * one before is gone. */
#include <poll.h>

#include "../message.h"

#define MAX_CLIENTS 64

static int value_store(const char *body)
{
	char key[64], value[64];
	FILE *file;

	if (sscanf(body, "put %63[a-zA-Z0-9_-] %63s", key, value) != 2)
		return -1;
	file = fopen(key, "w");
	if (!file)
		die(key);
	fprintf(file, "%s\n", value);
	if (fclose(file))
		die(key);
	return 0;
}

/* Answers what has arrived. Returns -1 when the client is gone. */
static int client_serve(struct peer *client)
{
	char body[MESSAGE_MAX], answer[MESSAGE_MAX];
	int size = 0;

	if (peer_fill(client) <= 0)
		return -1;
	while ((size = peer_next(client, body)) > 0) {
		if (value_store(body) < 0)
			return -1;
		snprintf(answer, sizeof(answer), "stored %.900s", body + strlen("put "));
		if (peer_send(client, answer) < 0)
			return -1;
	}
	return size;
}

int main(int argc, char **argv)
{
	static struct peer clients[MAX_CLIENTS];
	struct pollfd fds[MAX_CLIENTS + 1];
	sigset_t waiting;
	int n = 0, max = MAX_CLIENTS;

	if (argc == 3 && !strcmp(argv[1], "-1")) {
		max = 1;
		argv++;
		argc--;
	}
	if (argc != 2) {
		fprintf(stderr, "usage: quorum-server [-1] PORT\n");
		return 2;
	}
	stop_prepare(&waiting);
	fds[0].fd = port_listen(AF_INET, argv[1]);
	while (!stopped) {
		fds[0].events = n < max ? POLLIN : 0;
		for (int i = 0; i < n; i++)
			fds[i + 1] = (struct pollfd){ .fd = clients[i].fd, .events = POLLIN };
		if (ppoll(fds, n + 1, NULL, &waiting) < 0)
			continue;
		for (int i = n - 1; i >= 0; i--) {
			if (fds[i + 1].revents && client_serve(&clients[i]) < 0) {
				peer_close(&clients[i]);
				clients[i] = clients[--n];
			}
		}
		if (fds[0].events && fds[0].revents) {
			peer_accept(&clients[n], fds[0].fd);
			n += clients[n].fd >= 0;
		}
	}
	return 0;
}
