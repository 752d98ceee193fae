/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - QEMU's command line, as far as device tests use it and this board can follow.  What can't be
 * honoured is an error that names it; what has no meaning without processor, screen and sound is taken
 * when it asks for none.
 */
#include "placements/qtest/qtest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_KV     24u
#define MAX_DRIVES 8u
#define MAX_CHARS  8u
#define MIB        (1ull << 20)
#define GIB        (1ull << 30)
#define NO_SLOT    PC_MAX_DISKS
#define REVISION   "1.0" /* what models/ide/ says of itself */

static const char usage[] =
	"usage: selfio-qtest -qtest unix:PATH|stdio [OPTION]...\n"
	"\n"
	"The PC board without a processor, driven over QEMU's qtest protocol (man selfio-qtest).\n"
	"  -qtest unix:PATH|stdio    connect there for requests; the end of it ends the program\n"
	"  -qtest-log FILE|none      log of the protocol (standard error)\n"
	"  -chardev socket,path=PATH,id=ID | file,path=FILE,id=ID | null,id=ID\n"
	"  -mon chardev=ID,mode=control, -qmp unix:PATH\n"
	"  -serial none|null|file:FILE|chardev:ID      the far end of COM1\n"
	"  -m SIZE, -smp N, -uuid UUID, -bios FILE, -boot menu=on|off\n"
	"  -rtc base=utc|localtime|DATE,clock=vm\n"
	"  -drive file=FILE|null-co://,if=ide|none,id=ID,format=raw,index=N,readonly=on,snapshot=on\n"
	"  -blockdev driver=file,filename=FILE,node-name=ID,read-only=on\n"
	"  -device ide-hd,drive=ID,bus=ide.N,unit=N,serial=TEXT,model=TEXT; -hda to -hdd FILE\n"
	"  -global ide-hd.serial=TEXT and the like\n"
	"  -S, -no-reboot, -no-shutdown\n"
	"Taken and of no effect: -machine pc, -accel qtest, -nodefaults, -name TEXT, and none for -display,\n"
	"-audio, -vga, -net, -nic, -monitor and -parallel.\n"
	"\n"
	"Exit status: 0 when the tester or the machine ended it, 1 for a wrong option or a failed start.\n";

struct drive {
	const char *id;
	struct disk_opts o;
	unsigned slot; /* channel * 2 + unit, or NO_SLOT: for a -device to take */
	const char *serial, *model;
};

struct end { /* of a -chardev */
	const char *id, *kind, *path;
};

static struct {
	const char *proto, *log, *qmp, *serial;
	struct drive drive[MAX_DRIVES];
	unsigned n_drives;
	struct end end[MAX_CHARS];
	unsigned n_ends;
	char *device[MAX_DRIVES]; /* wait until all drives are known */
	unsigned n_devices;
	const char *mon, *serial_dflt, *model_dflt;
} opt;

static struct qtest qt;

void msg(const char *f, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, f);
	vsnprintf(text, sizeof(text), f, ap);
	va_end(ap);
	dprintf(2, "selfio-qtest: %s\n", text);
}

static void die(const char *f, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *f, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, f);
	vsnprintf(text, sizeof(text), f, ap);
	va_end(ap);
	msg("%s", text);
	exit(1);
}

/* key=value,key=value... of one option.  What kv_get() has not taken in the end is an error. */
struct kv {
	const char *option;
	char *key[MAX_KV], *val[MAX_KV];
	unsigned n;
};

/* ",," in a value stands for a comma.  implied: the key of a first item without one. */
static void kv_parse(struct kv *kv, const char *option, char *text, const char *implied)
{
	char *in = text, *out;

	*kv = (struct kv){ .option = option };
	while (*in) {
		char *eq;

		if (kv->n == MAX_KV)
			die("-%s: too much", option);
		kv->key[kv->n] = out = in;
		while (*in && (*in != ',' || in[1] == ',')) {
			in += *in == ',';
			*out++ = *in++;
		}
		in += *in == ',';
		*out = 0;
		eq = strchr(kv->key[kv->n], '=');
		if (eq) {
			*eq = 0;
			kv->val[kv->n] = eq + 1;
		} else if (kv->n == 0 && implied) {
			kv->val[0] = kv->key[0];
			kv->key[0] = (char *)(uintptr_t)implied;
		} else {
			kv->val[kv->n] = (char *)(uintptr_t) "on";
		}
		kv->n++;
	}
}

static char *kv_get(struct kv *kv, const char *key)
{
	char *val = NULL;

	for (unsigned i = 0; i < kv->n; i++)
		if (kv->key[i] && strcmp(kv->key[i], key) == 0) {
			val = kv->val[i];
			kv->key[i] = NULL;
		}
	return val;
}

static bool kv_bool(struct kv *kv, const char *key)
{
	const char *v = kv_get(kv, key);

	if (v && strcmp(v, "on") && strcmp(v, "off"))
		die("-%s: %s=%s: on or off", kv->option, key, v);
	return v && strcmp(v, "on") == 0;
}

static void kv_end(const struct kv *kv)
{
	for (unsigned i = 0; i < kv->n; i++)
		if (kv->key[i])
			die("-%s: %s=%s is not there", kv->option, kv->key[i], kv->val[i]);
}

/* Is s one of the words, which are separated by spaces? */
static bool one_of(const char *s, const char *words)
{
	size_t n = strlen(s);

	for (const char *p = words; n && (p = strstr(p, s)); p += n)
		if ((p == words || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	return false;
}

static unsigned long parse_number(const char *option, const char *s, unsigned long min,
				  unsigned long max)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(s, &end, 10);
	if (errno || *s < '0' || *s > '9' || *end || v < min || v > max)
		die("-%s: %s is not a number of %lu to %lu", option, s, min, max);
	return v;
}

static uint64_t parse_size(const char *option, const char *s, uint64_t unit)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (end == s || *s == '-')
		errno = EINVAL;
	switch (*end | 0x20) {
	case 't': unit = 1ull << 40, end++; break;
	case 'g': unit = GIB, end++; break;
	case 'm': unit = MIB, end++; break;
	case 'k': unit = 1024, end++; break;
	case 'b': unit = 1, end++; break;
	}
	if (errno || *end || v > UINT64_MAX / unit)
		die("-%s: %s is no size", option, s);
	return v * unit;
}

static void o_none(const char *name, char *arg)
{
	if (!one_of(arg, "none off"))
		die("-%s %s is not there, only none", name, arg);
}

static void o_ignore(const char *name, char *arg)
{
}

static void o_machine(const char *name, char *arg)
{
	struct kv kv;
	const char *type, *accel;

	kv_parse(&kv, name, arg, "type");
	type = kv_get(&kv, "type");
	if (type && strcmp(type, "pc") && strncmp(type, "pc-i440fx-", 10))
		die("-%s %s is not there, only pc", name, type);
	accel = kv_get(&kv, "accel");
	if (accel && strcmp(accel, "qtest"))
		die("-%s accel=%s is not there, only qtest: there is no processor", name, accel);
	kv_end(&kv);
}

static void o_accel(const char *name, char *arg)
{
	if (strcmp(arg, "qtest"))
		die("-%s %s is not there, only qtest: there is no processor", name, arg);
}

static void o_qtest(const char *name, char *arg)
{
	if (strcmp(arg, "stdio") && strncmp(arg, "unix:", 5))
		die("-%s %s: unix:PATH or stdio", name, arg);
	/* QEMU's server,... come behind the path; here it is always the tester who listens. */
	if (strchr(arg, ','))
		die("-%s %s: no options behind the path", name, arg);
	opt.proto = arg;
}

static void o_qtest_log(const char *name, char *arg)
{
	opt.log = arg;
}

static void o_chardev(const char *name, char *arg)
{
	struct kv kv;
	struct end *e = &opt.end[opt.n_ends];

	if (opt.n_ends == MAX_CHARS)
		die("-%s: at most %u", name, MAX_CHARS);
	kv_parse(&kv, name, arg, "backend");
	e->kind = kv_get(&kv, "backend");
	e->id = kv_get(&kv, "id");
	e->path = kv_get(&kv, "path");
	if (!e->kind || !one_of(e->kind, "socket file null"))
		die("-%s: only socket, file and null are there", name);
	if (!e->id || (!e->path && strcmp(e->kind, "null")))
		die("-%s: id= and path= are needed", name);
	if (kv_bool(&kv, "server"))
		die("-%s: server=on is not there: the tester listens", name);
	kv_end(&kv);
	opt.n_ends++;
}

static void o_mon(const char *name, char *arg)
{
	struct kv kv;
	const char *mode;

	kv_parse(&kv, name, arg, "chardev");
	opt.mon = kv_get(&kv, "chardev");
	mode = kv_get(&kv, "mode");
	if (!opt.mon || !mode || strcmp(mode, "control"))
		die("-%s: chardev=ID,mode=control is needed", name);
	kv_end(&kv);
}

static void o_qmp(const char *name, char *arg)
{
	if (strncmp(arg, "unix:", 5) || strchr(arg, ','))
		die("-%s %s: unix:PATH", name, arg);
	opt.qmp = arg + 5;
}

static void o_serial(const char *name, char *arg)
{
	if (opt.serial)
		die("-%s: there is only COM1", name);
	if (!one_of(arg, "none null") && strncmp(arg, "file:", 5) && strncmp(arg, "chardev:", 8))
		die("-%s %s: none, null, file:PATH or chardev:ID", name, arg);
	opt.serial = arg;
}

static void o_m(const char *name, char *arg)
{
	struct kv kv;
	const char *size;
	uint64_t v;

	kv_parse(&kv, name, arg, "size");
	size = kv_get(&kv, "size");
	v = size ? parse_size(name, size, MIB) : 0;
	if (v < MIB || v > 256 * GIB || v % 4096)
		die("-%s: 1M to 256G in steps of 4K", name);
	kv_end(&kv);
	qt.cfg.ram[0].len = v;
}

static void o_smp(const char *name, char *arg)
{
	struct kv kv;
	const char *cpus;

	kv_parse(&kv, name, arg, "cpus");
	cpus = kv_get(&kv, "cpus");
	if (cpus)
		qt.cfg.n_vcpus = (uint32_t)parse_number(name, cpus, 1, 255);
	kv_end(&kv);
}

static void o_uuid(const char *name, char *arg)
{
	const char *s = arg;

	for (unsigned i = 0; i < 16; i++, s += 2) {
		unsigned v;
		int n = 0;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *s++ != '-')
			die("-%s %s is no UUID", name, arg);
		if (strspn(s, "0123456789abcdefABCDEF") < 2 || sscanf(s, "%2x%n", &v, &n) != 1)
			die("-%s %s is no UUID", name, arg);
		qt.cfg.uuid[i] = (uint8_t)v;
	}
	if (*s)
		die("-%s %s is no UUID", name, arg);
}

static void o_boot(const char *name, char *arg)
{
	struct kv kv;
	const char *order;

	kv_parse(&kv, name, arg, "order");
	order = kv_get(&kv, "order");
	if (order && strcmp(order, "c"))
		die("-%s %s: the order is the disks', as c", name, order);
	if (kv_bool(&kv, "menu"))
		qt.cfg.flags |= SIO_CFG_BOOT_MENU;
	kv_end(&kv);
}

static void o_rtc(const char *name, char *arg)
{
	struct kv kv;
	const char *base, *clock, *end;
	struct tm tm = { 0 };
	time_t t = time(NULL);

	kv_parse(&kv, name, arg, NULL);
	base = kv_get(&kv, "base");
	clock = kv_get(&kv, "clock");
	if (clock && strcmp(clock, "vm"))
		die("-%s clock=%s is not there, only vm: time is the tester's", name, clock);
	if (base && strcmp(base, "localtime") == 0) {
		if (localtime_r(&t, &tm))
			t += tm.tm_gmtoff;
	} else if (base && strcmp(base, "utc")) {
		end = strptime(base, strchr(base, 'T') ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d", &tm);
		t = end && !*end ? timegm(&tm) : -1;
	}
	if (t < 0 || t > 4102444800) /* 2100: models count in ns */
		die("-%s base=%s: utc, localtime or YYYY-MM-DD[THH:MM:SS], 1970 to 2099", name,
		    base);
	kv_end(&kv);
	qt.ops.wall_ns = (uint64_t)t * 1000000000;
}

static void o_bios(const char *name, char *arg)
{
	int fd = open(arg, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die("-%s %s: %s", name, arg, strerror(errno));
	if (st.st_size < 4096 || st.st_size > (off_t)(16 * MIB) || st.st_size % 4096)
		die("-%s %s: 4K to 16M in steps of 4K", name, arg);
	qt.rom_len = (uint64_t)st.st_size;
	qt.rom = malloc(qt.rom_len);
	if (!qt.rom || read(fd, qt.rom, qt.rom_len) != (ssize_t)qt.rom_len)
		die("-%s %s: can't read it", name, arg);
	close(fd);
}

static unsigned free_slot(void)
{
	unsigned taken = 0, slot = 0;

	for (unsigned i = 0; i < opt.n_drives; i++)
		taken |= 1u << opt.drive[i].slot;
	while (taken >> slot & 1)
		slot++;
	if (slot >= NO_SLOT)
		die("at most %u disks", PC_MAX_DISKS);
	return slot;
}

static void take_slot(struct drive *d, unsigned slot)
{
	for (unsigned i = 0; i < opt.n_drives; i++)
		if (opt.drive[i].slot == slot && &opt.drive[i] != d)
			die("two disks at ide.%u, unit %u", slot / 2, slot % 2);
	d->slot = slot;
}

static void o_drive(const char *name, char *arg)
{
	struct drive *d = &opt.drive[opt.n_drives];
	const char *v, *driver, *size, *at, *iface;
	struct kv kv;

	if (opt.n_drives == MAX_DRIVES)
		die("-%s: at most %u", name, MAX_DRIVES);
	*d = (struct drive){ .slot = NO_SLOT, .o.size = GIB };
	kv_parse(&kv, name, arg, NULL);
	d->id = kv_get(&kv, "id");
	d->o.path = kv_get(&kv, "file");
	d->o.read_only = kv_bool(&kv, "readonly");
	d->o.snapshot = kv_bool(&kv, "snapshot");
	driver = kv_get(&kv, "driver");
	driver = driver ? driver : kv_get(&kv, "file.driver");
	size = kv_get(&kv, "size");
	size = size ? size : kv_get(&kv, "file.size");
	kv_bool(&kv, "read-zeroes"); /* always */
	kv_bool(&kv, "file.read-zeroes");
	if ((v = kv_get(&kv, "media")) && strcmp(v, "disk"))
		die("-%s: media=%s is not there yet", name, v);
	if ((v = kv_get(&kv, "format")) && strcmp(v, "raw"))
		die("-%s: format=%s is not there, only raw", name, v);
	/* Caching is the host's; a flush is one whatever the mode. */
	if ((v = kv_get(&kv, "cache")) &&
	    !one_of(v, "none writeback writethrough directsync unsafe"))
		die("-%s: cache=%s?", name, v);
	iface = kv_get(&kv, "if");
	if (iface && !one_of(iface, "ide none"))
		die("-%s: if=%s is not there, only ide and none", name, iface);
	at = kv_get(&kv, "index");
	kv_end(&kv);

	if (driver && one_of(driver, "raw file"))
		driver = NULL;
	if (d->o.path && strcmp(d->o.path, "null-co://") == 0)
		driver = "null-co", d->o.path = NULL;
	if (driver && strcmp(driver, "null-co"))
		die("-%s: driver=%s is not there", name, driver);
	if (d->o.path && strncmp(d->o.path, "file:", 5) == 0)
		d->o.path += 5;
	else if (d->o.path && one_of("://", d->o.path))
		die("-%s: file=%s is not there", name, d->o.path);
	if (d->o.path && strncmp(d->o.path, "blk", 3) == 0 && strchr(d->o.path, ':'))
		die("-%s: file=%s is not there", name, d->o.path);
	if (!driver == !d->o.path)
		die("-%s: file= or driver=null-co is needed", name);
	if (size && !driver)
		die("-%s: size= goes with driver=null-co", name);
	if (size)
		d->o.size = parse_size(name, size, 1);
	opt.n_drives++;
	if (!iface || strcmp(iface, "ide") == 0)
		take_slot(d, at ? (unsigned)parse_number(name, at, 0, 3) : free_slot());
	else if (at)
		die("-%s: index= goes with if=ide", name);
}

/* A node on its own: driver=file or null-co.  -device takes it by its name. */
static void o_blockdev(const char *name, char *arg)
{
	struct drive *d = &opt.drive[opt.n_drives];
	const char *driver, *size;
	struct kv kv;

	if (opt.n_drives == MAX_DRIVES)
		die("-%s: at most %u", name, MAX_DRIVES);
	*d = (struct drive){ .slot = NO_SLOT, .o.size = GIB };
	kv_parse(&kv, name, arg, "driver");
	driver = kv_get(&kv, "driver");
	d->id = kv_get(&kv, "node-name");
	d->o.path = kv_get(&kv, "filename");
	d->o.read_only = kv_bool(&kv, "read-only");
	size = kv_get(&kv, "size");
	kv_bool(&kv, "read-zeroes");
	kv_end(&kv);
	if (!driver || !one_of(driver, "file null-co"))
		die("-%s: driver=%s is not there, only file and null-co", name,
		    driver ? driver : "");
	if (!d->id || !d->o.path != (*driver == 'n') || (size && *driver != 'n'))
		die("-%s: node-name=, and filename= for file or size= for null-co", name);
	if (size)
		d->o.size = parse_size(name, size, 1);
	opt.n_drives++;
}

static void o_hd(const char *name, char *arg)
{
	struct drive *d = &opt.drive[opt.n_drives];

	if (opt.n_drives == MAX_DRIVES)
		die("-%s: at most %u disks", name, MAX_DRIVES);
	*d = (struct drive){ .slot = NO_SLOT, .o.path = arg };
	opt.n_drives++;
	take_slot(d, (unsigned)(name[2] - 'a'));
}

static void o_device(const char *name, char *arg)
{
	if (opt.n_devices == MAX_DRIVES)
		die("-%s: at most %u", name, MAX_DRIVES);
	opt.device[opt.n_devices++] = arg;
}

static void check_text(const char *name, const char *what, const char *s, size_t max)
{
	if (s && strlen(s) > max)
		die("-%s: %s is longer than %zu characters", name, what, max);
	for (; s && *s; s++)
		if (*s < ' ' || *s > '~')
			die("-%s: %s must be plain ASCII", name, what);
}

static void check_revision(const char *name, const char *ver)
{
	if (ver && strcmp(ver, REVISION))
		msg("-%s: ver=%s has no effect, the disks' firmware revision is " REVISION, name,
		    ver);
}

static void o_global(const char *name, char *arg)
{
	char *val = strchr(arg, '=');

	if (val)
		*val++ = 0;
	if (val && strcmp(arg, "ide-hd.serial") == 0)
		opt.serial_dflt = val;
	else if (val && strcmp(arg, "ide-hd.model") == 0)
		opt.model_dflt = val;
	else if (val && strcmp(arg, "ide-hd.ver") == 0)
		check_revision(name, val);
	else
		die("-%s %s is not there", name, arg);
	check_text(name, "serial", opt.serial_dflt, 20);
	check_text(name, "model", opt.model_dflt, 40);
}

static void device(char *arg)
{
	struct drive *d = NULL;
	const char *driver, *id, *bus, *unit;
	unsigned slot = NO_SLOT;
	struct kv kv;

	kv_parse(&kv, "device", arg, "driver");
	driver = kv_get(&kv, "driver");
	if (!driver || strcmp(driver, "ide-hd"))
		die("-device %s is not there%s", driver ? driver : "",
		    driver && strcmp(driver, "ide-cd") == 0 ? " yet" : ", only ide-hd");
	id = kv_get(&kv, "drive");
	for (unsigned i = 0; id && i < opt.n_drives; i++)
		if (opt.drive[i].id && strcmp(opt.drive[i].id, id) == 0)
			d = &opt.drive[i];
	if (!d || d->slot != NO_SLOT)
		die("-device ide-hd: no -drive with if=none, or -blockdev, called %s",
		    id ? id : "");
	bus = kv_get(&kv, "bus");
	unit = kv_get(&kv, "unit");
	if (bus && !one_of(bus, "ide.0 ide.1"))
		die("-device ide-hd: bus=%s is not there", bus);
	if (bus) {
		unsigned taken = 0, ch = (unsigned)(bus[4] - '0');

		for (unsigned i = 0; i < opt.n_drives; i++)
			taken |= 1u << opt.drive[i].slot;
		slot = ch * 2 +
		       (unit ? (unsigned)parse_number("device", unit, 0, 1) : taken >> ch * 2 & 1);
	} else if (unit) {
		slot = (unsigned)parse_number("device", unit, 0, 1);
	}
	take_slot(d, slot == NO_SLOT ? free_slot() : slot);
	d->serial = kv_get(&kv, "serial");
	d->model = kv_get(&kv, "model");
	check_text("device", "serial", d->serial, 20);
	check_text("device", "model", d->model, 40);
	check_revision("device", kv_get(&kv, "ver"));
	kv_get(&kv, "id");
	kv_end(&kv);
}

static void o_flag(const char *name, char *arg)
{
	qt.paused |= strcmp(name, "S") == 0;
	qt.no_reboot |= strcmp(name, "no-reboot") == 0;
	qt.no_shutdown |= strcmp(name, "no-shutdown") == 0;
}

static void o_help(const char *name, char *arg)
{
	fputs(usage, stdout);
	exit(0);
}

static void o_version(const char *name, char *arg)
{
	puts("selfio-qtest " SELFIO_VERSION);
	exit(0);
}

static const struct option {
	const char *name;
	void (*take)(const char *name, char *arg);
	bool arg;
} options[] = {
	{ "M", o_machine, true },
	{ "S", o_flag, false },
	{ "accel", o_accel, true },
	{ "audio", o_none, true },
	{ "bios", o_bios, true },
	{ "blockdev", o_blockdev, true },
	{ "boot", o_boot, true },
	{ "chardev", o_chardev, true },
	{ "device", o_device, true },
	{ "display", o_none, true },
	{ "drive", o_drive, true },
	{ "global", o_global, true },
	{ "h", o_help, false },
	{ "hda", o_hd, true },
	{ "hdb", o_hd, true },
	{ "hdc", o_hd, true },
	{ "hdd", o_hd, true },
	{ "help", o_help, false },
	{ "m", o_m, true },
	{ "machine", o_machine, true },
	{ "mon", o_mon, true },
	{ "monitor", o_none, true },
	{ "name", o_ignore, true },
	{ "net", o_none, true },
	{ "nic", o_none, true },
	{ "no-reboot", o_flag, false },
	{ "no-shutdown", o_flag, false },
	{ "no-user-config", o_flag, false },
	{ "nodefaults", o_flag, false },
	{ "nographic", o_flag, false },
	{ "parallel", o_none, true },
	{ "qmp", o_qmp, true },
	{ "qtest", o_qtest, true },
	{ "qtest-log", o_qtest_log, true },
	{ "rtc", o_rtc, true },
	{ "serial", o_serial, true },
	{ "smp", o_smp, true },
	{ "uuid", o_uuid, true },
	{ "version", o_version, false },
	{ "vga", o_none, true },
};

static void parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i] + 1;
		const struct option *o = NULL;

		if (argv[i][0] != '-')
			die("%s: the image of a disk goes with -hda or -drive", argv[i]);
		name += *name == '-';
		for (unsigned k = 0; k < sizeof(options) / sizeof(options[0]); k++)
			if (strcmp(options[k].name, name) == 0)
				o = &options[k];
		if (!o)
			die("option %s is not there (--help lists those that are)", argv[i]);
		if (o->arg && i + 1 == argc)
			die("%s needs a value", argv[i]);
		o->take(o->name, o->arg ? argv[++i] : NULL);
	}
	for (unsigned i = 0; i < opt.n_devices; i++)
		device(opt.device[i]);
	if (!opt.proto)
		die("-qtest unix:PATH is needed");
}

static const struct end *end_of(const char *option, const char *id)
{
	for (unsigned i = 0; i < opt.n_ends; i++)
		if (strcmp(opt.end[i].id, id) == 0)
			return &opt.end[i];
	die("-%s: no -chardev with id=%s", option, id);
}

static void connect_to(struct chan *c, const char *option, const char *path)
{
	if (chan_connect(c, path))
		die("-%s: %s: %s", option, path, strerror(errno));
}

static void open_serial(void)
{
	struct end e = { .kind = "null" };
	struct chan c;
	int fd = -1;

	if (opt.serial && strncmp(opt.serial, "file:", 5) == 0)
		e = (struct end){ .kind = "file", .path = opt.serial + 5 };
	else if (opt.serial && strncmp(opt.serial, "chardev:", 8) == 0)
		e = *end_of("serial", opt.serial + 8);
	if (strcmp(e.kind, "socket") == 0) {
		connect_to(&c, "serial", e.path);
		fd = c.in;
	} else if (strcmp(e.kind, "file") == 0) {
		fd = open(e.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (fd < 0)
			die("-serial: %s: %s", e.path, strerror(errno));
	}
	serial_init(&qt.com, fd, *e.kind == 's');
}

static void open_disks(void)
{
	static char serial[PC_MAX_DISKS][21];

	for (unsigned i = 0; i < opt.n_drives; i++) {
		struct drive *d = &opt.drive[i];
		struct pc_disk *p = &qt.io.disk[d->slot];

		if (d->slot == NO_SLOT)
			die("the disk %s: no -device takes it", d->id ? d->id : "without id=");
		qt.disk[d->slot] = disk_open(&qt, &d->o);
		if (!qt.disk[d->slot])
			exit(1);
		snprintf(serial[d->slot], sizeof(serial[0]), "SIO%05u", d->slot + 1);
		p->serial = d->serial ? d->serial : opt.serial_dflt;
		p->serial = p->serial ? p->serial : serial[d->slot];
		p->model = d->model ? d->model : opt.model_dflt;
		p->model = p->model ? p->model : "selfio IDE disk";
	}
}

int main(int argc, char **argv)
{
	const struct end *mon = NULL;

	qt.proto.in = qt.proto.out = qt.qmp.in = qt.qmp.out = -1;
	qt.cfg.n_vcpus = 1;
	qt.cfg.ram[0].len = 128 * MIB;
	qt.ops.wall_ns = (uint64_t)time(NULL) * 1000000000;
	parse(argc, argv);
	if (opt.mon)
		mon = end_of("mon", opt.mon);
	if (mon && strcmp(mon->kind, "socket"))
		die("-mon: only over a socket");
	qt.log = !opt.log ? stderr : strcmp(opt.log, "none") ? fopen(opt.log, "we") : NULL;
	if (!qt.log && strcmp(opt.log, "none"))
		die("-qtest-log %s: %s", opt.log, strerror(errno));

	open_disks();
	open_serial();
	if (host_init(&qt))
		return 1;
	if (strcmp(opt.proto, "stdio") == 0)
		qt.proto.in = 0, qt.proto.out = 1;
	else
		connect_to(&qt.proto, "qtest", opt.proto + 5);
	proto_log(&qt, 'I', "OPENED");
	if (mon || opt.qmp) {
		connect_to(&qt.qmp, "mon", mon ? mon->path : opt.qmp);
		qmp_greet(&qt);
	}
	host_run(&qt);
	proto_log(&qt, 'I', "CLOSED");
	for (unsigned i = 0; i < PC_MAX_DISKS; i++)
		disk_close(qt.disk[i]);
	return 0;
}
