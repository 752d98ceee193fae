/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_opts.c - what follows --net.
 */
#include <stdio.h>
#include <string.h>

#include "backends/net.h"
#include "lib/mac.h"

static const char *const models[] = {
	[NETDEV_RTL8139] = "rtl8139",   [NETDEV_E1000] = "e1000",   [NETDEV_NE2K_PCI] = "ne2k_pci",
	[NETDEV_NE2K_ISA] = "ne2k_isa", [NETDEV_VIRTIO] = "virtio", [NETDEV_RTL8139C] = "rtl8139c",
};

/* False: empty or too long. */
static bool set(char *to, size_t size, const char *s)
{
	if (!*s || strlen(s) >= size)
		return false;
	strcpy(to, s);
	return true;
}

/* What is behind.  NULL, or what is wrong with it. */
static const char *kind(struct net_opts *o, const char *item)
{
	if (!strcmp(item, "user")) {
		o->kind = NETDEV_USER;
	} else if (!strcmp(item, "tap")) {
		o->kind = NETDEV_TAP;
	} else if (!strncmp(item, "stream:", 7)) {
		o->kind = NETDEV_STREAM;
		if (!set(o->path, sizeof(o->path), item + 7))
			return "a socket's path has 1 to 107 bytes";
	} else {
		return "unknown; use user, tap or stream:PATH";
	}
	return NULL;
}

/* One option.  NULL, or what is wrong with it. */
static const char *option(struct net_opts *o, const char *item)
{
	const char *val = strchr(item, '=');
	size_t len = val ? (size_t)(val - item) : strlen(item), i;
	bool tap = o->kind == NETDEV_TAP, user = o->kind == NETDEV_USER;

#define IS(name) (len == strlen(name) && !strncmp(item, name, len))
	if (!val) {
		if (IS("connect") && o->kind == NETDEV_STREAM) {
			o->connect = true;
			return NULL;
		}
		return "unknown";
	}
	val++;
	if (IS("model")) {
		for (i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
			if (!strcmp(val, models[i])) {
				o->model = (enum netdev_model)i;
				return NULL;
			}
		}
		return "no such card; use rtl8139, rtl8139c, e1000, ne2k_pci, ne2k_isa or virtio";
	}
	if (IS("mac")) {
		o->have_mac = mac_parse(val, o->mac) && !(o->mac[0] & 1); /* not a group's */
		return o->have_mac ? NULL : "not a card's address, as in 52:54:00:12:34:56";
	}
	if (IS("pcap"))
		return set(o->pcap, sizeof(o->pcap), val) ? NULL : "no file name, or a long one";
	if (IS("ifname") && tap)
		return set(o->ifname, sizeof(o->ifname), val) && !strpbrk(val, "/% ") ?
			       NULL :
			       "not the name of an interface";
	if (IS("script") && tap)
		return strcmp(val, "no") ? "no scripts are run; set the interface up before" : NULL;
	if (IS("vhost") && tap) {
		o->vhost = !strcmp(val, "on");
		return o->vhost || !strcmp(val, "off") ? NULL : "use on or off";
	}
	if ((IS("tcp") || IS("udp")) && user) {
		if (o->n_fwd == NETDEV_MAX_FWD)
			return "too many of these";
		if (*val == '-' || !set(o->fwd[o->n_fwd].ports, sizeof(o->fwd[0].ports), val))
			return "no ports";
		o->fwd[o->n_fwd++].udp = IS("udp");
		return NULL;
	}
#undef IS
	return "unknown";
}

int net_parse_opts(const char *spec, struct net_opts *o, char *err, size_t errlen)
{
	char item[320];
	const char *bad, *end;
	bool first = true;

	*o = (struct net_opts){ 0 };
	for (;; spec = end + 1, first = false) {
		end = strchr(spec, ',');
		if (!end)
			end = spec + strlen(spec);
		if ((size_t)(end - spec) >= sizeof(item)) {
			snprintf(err, errlen, "net: %.40s...: too long", spec);
			return -1;
		}
		memcpy(item, spec, (size_t)(end - spec));
		item[end - spec] = 0;
		bad = first ? kind(o, item) : option(o, item);
		if (bad) {
			snprintf(err, errlen, "net: %s: %s", item, bad);
			return -1;
		}
		if (!*end)
			break;
	}
	if (o->vhost && o->pcap[0]) {
		snprintf(err, errlen, "net: pcap= needs vhost=off: the frames don't come by here");
		return -1;
	}
	return 0;
}
