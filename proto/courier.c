/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See courier.h. A peer that claims to have heard what was never sent only empties what is kept for it. */
#include "proto/courier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct letter {
	struct letter *prev, *next;
	uint64_t number;
	size_t size;
	unsigned char bytes[];
};

static void letter_drop(struct courier *courier, struct letter *letter)
{
	DL_DELETE(courier->kept, letter);
	free(letter);
}

void courier_fini(struct courier *courier)
{
	while (courier->kept)
		letter_drop(courier, courier->kept);
	*courier = (struct courier){ 0 };
}

static bool must_arrive(enum message_kind kind)
{
	switch (kind) {
	case MESSAGE_REPLY:
	case MESSAGE_READY:
	case MESSAGE_EXITED:
	case MESSAGE_WARNING:
	case MESSAGE_RECEIPTS:
	case MESSAGE_ORDER:
		return true;
	case MESSAGE_NONE:
	case MESSAGE_HELLO:
	case MESSAGE_BATCH:
	case MESSAGE_PROGRESS:
	case MESSAGE_WELCOME:
	case MESSAGE_REFUSED:
	case MESSAGE_ACK:
		break;
	}
	return false;
}

int courier_encode(struct courier *courier, const struct message *message, unsigned char **ret_bytes, size_t *ret_size)
{
	struct message numbered = *message;
	struct letter *letter;
	int err;

	numbered.heard = courier->heard;
	numbered.number = must_arrive(message->kind) ? courier->sent + 1 : 0;
	err = message_encode(&numbered, ret_bytes, ret_size);
	if (err < 0 || !numbered.number)
		return err;
	letter = malloc(sizeof(*letter) + *ret_size);
	if (!letter) {
		free(*ret_bytes);
		return -ENOMEM;
	}
	letter->number = ++courier->sent;
	letter->size = *ret_size;
	memcpy(letter->bytes, *ret_bytes, *ret_size);
	DL_APPEND(courier->kept, letter);
	return 0;
}

bool courier_take(struct courier *courier, const struct message *message)
{
	while (courier->kept && courier->kept->number <= message->heard)
		letter_drop(courier, courier->kept);
	if (!message->number)
		return true;
	/* one that is too early comes again, behind those that are missing */
	if (message->number != courier->heard + 1)
		return false;
	courier->heard++;
	return true;
}

uint64_t courier_again(const struct courier *courier, uint64_t after, courier_send *send, void *arg)
{
	const struct letter *letter;

	DL_FOREACH(courier->kept, letter)
		if (letter->number > after && !send(letter->bytes, letter->size, arg))
			return letter->number - 1;
	return courier->sent;
}
