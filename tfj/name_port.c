/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Ports of boxes, and how they are called. One that the kernel chose is another one in each run: it is called by how many
 * the kernel had chosen in that box until then. Must not know sockets or time.
 */
#include "tfj/name_tables.h"

#include <arpa/inet.h>
#include <stdio.h>

static uint32_t port_key(uint32_t box, uint16_t port)
{
	return box << 16 | port;
}

struct port *port_find(const struct names *names, uint32_t box, uint16_t port)
{
	uint32_t key = port_key(box, port);
	struct port *found;

	HASH_FIND(hh, names->ports, &key, sizeof(key), found);
	return found;
}

struct port *port_add(struct names *names, uint32_t box, uint16_t port)
{
	struct port *added = port_find(names, box, port);

	if (added)
		return added;
	added = calloc(1, sizeof(*added));
	if (!added)
		return NULL;
	added->key = port_key(box, port);
	HASH_ADD(hh, names->ports, key, sizeof(added->key), added);
	return added;
}

void port_drop(struct names *names, struct port *port)
{
	if (port->named || port->exchanges)
		return;
	HASH_DEL(names->ports, port);
	free(port);
}

void ports_free(struct names *names)
{
	struct port *port, *next;

	HASH_ITER(hh, names->ports, port, next)
	{
		HASH_DEL(names->ports, port);
		free(port);
	}
}

void port_listens(struct names *names, uint32_t box, uint16_t port, bool ephemeral)
{
	struct port *listens = ephemeral ? port_add(names, box, port) : port_find(names, box, port);

	if (!listens || (!ephemeral && !listens->named))
		return; /* without memory its number stands in the label */
	listens->ordinal = ephemeral ? ++names->chosen[box] : 0;
	listens->named = true;
}

/* Asked once a turn, and only while a fault waits for one. */
uint16_t names_port(const struct names *names, uint32_t box, uint32_t k)
{
	for (const struct port *port = names->ports; port; port = port->hh.next)
		if (port->key >> 16 == box && port->ordinal == k)
			return (uint16_t)port->key;
	return 0;
}

char *port_label(const struct names *names, uint32_t box, uint16_t port)
{
	const struct port *known = port_find(names, box, port);
	char *text;
	int n;

	if (known && known->ordinal)
		n = asprintf(&text, "%s:*%u", box_name(names, box), known->ordinal);
	else
		n = asprintf(&text, "%s:%u", box_name(names, box), port);
	return n < 0 ? NULL : text;
}

static bool is_own_box(const uint8_t ip[16])
{
	static const uint8_t loopback[16] = { [15] = 1 }, any[16], mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (!memcmp(ip, mapped, sizeof(mapped)))
		return ip[12] == 127 || !memcmp(ip + 12, any, 4);
	return !memcmp(ip, loopback, 16) || !memcmp(ip, any, 16);
}

uint32_t target_box(const struct names *names, const struct rec_addr *remote, uint32_t box)
{
	const struct box *to = boxes_at(names->boxes, remote->ip);

	if (to)
		return to->index;
	return is_own_box(remote->ip) ? box : 0;
}

/* s1:7000 for an address of a box, else 192.0.2.1:7000 or [2001:db8::1]:7000. malloc'ed. */
char *target_text(const struct names *names, const struct rec_addr *remote, uint32_t box)
{
	uint32_t to = target_box(names, remote, box);
	char address[INET6_ADDRSTRLEN] = "?", *text;
	bool ipv4 = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)remote->ip);
	int n;

	if (to)
		return port_label(names, to, remote->port);
	inet_ntop(ipv4 ? AF_INET : AF_INET6, ipv4 ? remote->ip + 12 : remote->ip, address, sizeof(address));
	n = asprintf(&text, ipv4 ? "%s:%u" : "[%s]:%u", address, remote->port);
	return n < 0 ? NULL : text;
}
