/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c - the command line. A bad one is one clear line and status 2, with nothing created. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/control.h"
#include "vmm/domain.h"

#ifndef SELFIO_VERSION
#define SELFIO_VERSION "0"
#endif
#ifndef SELFIO_DATADIR
#define SELFIO_DATADIR "/usr/local/share/selfio"
#endif

#define SEABIOS "/usr/share/seabios/bios-256k.bin"

static const char usage_text[] =
	"usage: selfio run [OPTION]...    run a domain\n"
	"       selfio check [--json]     can this machine's KVM run one?\n"
	"       selfio bench [OPTION]...  measure homes and fast paths, beside QEMU (in the source tree)\n"
	"       selfio stat [OPTION]... [NAME|PID]\n"
	"                                 what a running domain does (selfio stat --help)\n"
	"       selfio --version | --help\n"
	"\n"
	"Options of run:\n"
	"  --disk FILE[,ro][,direct][,serial=S][,model=M]\n"
	"                       an IDE disk: primary master, primary slave, secondary master, secondary\n"
	"                       slave, in this order; a raw image or a block device\n"
	"  --net BACKEND[,model=CARD][,mac=MAC][,pcap=FILE]\n"
	"                       a network card, up to 8; BACKEND is user (passt), tap[,ifname=NAME][,vhost=on]\n"
	"                       or stream:PATH[,connect]; CARD is rtl8139, rtl8139c, e1000, ne2k_pci,\n"
	"                       ne2k_isa or virtio (rtl8139)\n"
	"  --boot DEV           what the BIOS tries first: disk or net, by PXE (disk)\n"
	"  --mem SIZE           guest RAM, with K, M or G (512M)\n"
	"  --smp N              vCPUs, 1 to 8 (1)\n"
	"  --bios FILE          BIOS image (Debian's SeaBIOS)\n"
	"  --kernel FILE        boot this Linux bzImage instead of a disk\n"
	"  --initrd FILE        its initial RAM disk\n"
	"  --append TEXT        its command line\n"
	"  --console WHERE      serial port: stdio (Ctrl-A x quits), file:PATH, unix:PATH,\n"
	"                       pty or null (stdio)\n"
	"  --stats FILE         write counts and times as JSON at exit\n"
	"  --on-panic POLICY    firmware failure: stop or reset (stop)\n"
	"  --no-reboot          a reset ends the run\n"
	"  --boot-menu          the BIOS shows its boot menu\n"
	"  --debugcon           the BIOS's debug messages (port 402h) on standard error\n"
	"  --firmware FILE      firmware image (beside the program)\n"
	"  --place DEV=HOME,... where models live: DEV is ide, uart, pci, pm, rtc, i8042, ports, fwcfg, test,\n"
	"                       net or all; HOME is firmware, ioemu or stubdom (all=firmware)\n"
	"  --fast LIST          fast paths in use, of posted,kick,shadow,clock,readthrough,fifo,doorbell,irq; or\n"
	"                       none, all, default (posted,kick,shadow,clock,readthrough,fifo)\n"
	"  --irqchip WHERE      interrupt controllers and PIT, all but local APICs: kernel or firmware (kernel)\n"
	"  --spin US            wait so long for a home in another process before sleeping (5)\n"
	"  --testdev            the guest finds a device for tests and measurements\n"
	"  --name NAME          what `selfio stat' calls the domain (the process id)\n"
	"  --no-control         no control socket\n"
	"  --verbose            say more\n"
	"\n"
	"Exit status: 0 powered off or stopped by a signal, 1 failed while it ran, 2 could not start.\n";

static int bad(const char *f, ...) __attribute__((format(printf, 1, 2)));
static int bad(const char *f, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, f);
	vsnprintf(text, sizeof(text), f, ap);
	va_end(ap);
	msg("%s (selfio --help lists the options)", text);
	return 2;
}

static int parse_size(const char *s, uint64_t *out)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || end == s || *s == '-')
		return -1;
	switch (*end) {
	case 'G':
	case 'g':
		v = v > UINT64_MAX >> 30 ? UINT64_MAX : v << 30;
		end++;
		break;
	case 'M':
	case 'm':
		v = v > UINT64_MAX >> 20 ? UINT64_MAX : v << 20;
		end++;
		break;
	case 'K':
	case 'k': v = v > UINT64_MAX >> 10 ? UINT64_MAX : v << 10; end++;
	}
	*out = v;
	return *end ? -1 : 0;
}

static int set_text(char *to, size_t room, const char *what, const char *text)
{
	if (strlen(text) > room)
		return bad("--disk: %s is longer than %zu characters", what, room);
	for (const char *p = text; *p; p++)
		if (*p < ' ' || *p > '~')
			return bad("--disk: %s must be plain ASCII", what);
	strcpy(to, text);
	return 0;
}

/* inject=eio@SECTOR+COUNT is for tests and undocumented in the help: the disk fails there. */
static int parse_disk(struct options *o, char *arg)
{
	unsigned n = o->n_disks;
	struct blk_opts *b = &o->disk[n];
	char *save, *p = strtok_r(arg, ",", &save);

	if (n == MAX_DISKS)
		return bad("--disk: at most %u", MAX_DISKS);
	if (!p)
		return bad("--disk needs a file");
	b->path = p;
	snprintf(o->serial[n], sizeof(o->serial[n]), "SIO%05u", n + 1);
	strcpy(o->model[n], "selfio IDE disk");
	while ((p = strtok_r(NULL, ",", &save))) {
		unsigned long long from, count;

		if (strcmp(p, "ro") == 0) {
			b->read_only = true;
		} else if (strcmp(p, "direct") == 0) {
			b->direct = true;
		} else if (strncmp(p, "serial=", 7) == 0) {
			if (set_text(o->serial[n], 20, "serial", p + 7))
				return 2;
		} else if (strncmp(p, "model=", 6) == 0) {
			if (set_text(o->model[n], 40, "model", p + 6))
				return 2;
		} else if (sscanf(p, "inject=eio@%llu+%llu", &from, &count) == 2) {
			b->eio_from = from;
			b->eio_count = count;
		} else {
			return bad("--disk: unknown option %s", p);
		}
	}
	o->n_disks++;
	return 0;
}

static int parse_net(struct options *o, const char *arg)
{
	struct net_opts *n = &o->net[o->n_nets];
	unsigned isa = 0;
	char err[200];

	if (o->n_nets == SIO_MAX_NETS)
		return bad("--net: at most %u", SIO_MAX_NETS);
	if (net_parse_opts(arg, n, err, sizeof(err)))
		return bad("--%s", err);
	n->index = o->n_nets++;
	for (unsigned i = 0; i < o->n_nets; i++)
		isa += o->net[i].model == NETDEV_NE2K_ISA;
	return isa > 2 ? bad("--net: at most 2 cards can be ne2k_isa") : 0;
}

static char *default_firmware(void)
{
	static char path[PATH_MAX + 32];
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n > 0) {
		exe[n] = 0;
		snprintf(path, sizeof(path), "%s/selfio-fw.elf", dirname(exe));
		if (access(path, R_OK) == 0)
			return path;
	}
	snprintf(path, sizeof(path), "%s/selfio-fw.elf", SELFIO_DATADIR);
	return path;
}

enum {
	O_DISK = 256,
	O_NET,
	O_BOOT,
	O_MEM,
	O_SMP,
	O_BIOS,
	O_KERNEL,
	O_INITRD,
	O_APPEND,
	O_CONSOLE,
	O_STATS,
	O_PANIC,
	O_NOREBOOT,
	O_MENU,
	O_DEBUGCON,
	O_FIRMWARE,
	O_PLACE,
	O_FAST,
	O_SPIN,
	O_IRQCHIP,
	O_TESTDEV,
	O_VERBOSE,
	O_NAME,
	O_NOCONTROL,
	O_HELP
};

static const struct option long_options[] = {
	{ "disk", 1, NULL, O_DISK },
	{ "net", 1, NULL, O_NET },
	{ "boot", 1, NULL, O_BOOT },
	{ "mem", 1, NULL, O_MEM },
	{ "smp", 1, NULL, O_SMP },
	{ "bios", 1, NULL, O_BIOS },
	{ "kernel", 1, NULL, O_KERNEL },
	{ "initrd", 1, NULL, O_INITRD },
	{ "append", 1, NULL, O_APPEND },
	{ "console", 1, NULL, O_CONSOLE },
	{ "stats", 1, NULL, O_STATS },
	{ "on-panic", 1, NULL, O_PANIC },
	{ "no-reboot", 0, NULL, O_NOREBOOT },
	{ "boot-menu", 0, NULL, O_MENU },
	{ "debugcon", 0, NULL, O_DEBUGCON },
	{ "firmware", 1, NULL, O_FIRMWARE },
	{ "place", 1, NULL, O_PLACE },
	{ "fast", 1, NULL, O_FAST },
	{ "irqchip", 1, NULL, O_IRQCHIP },
	{ "spin", 1, NULL, O_SPIN },
	{ "testdev", 0, NULL, O_TESTDEV },
	{ "verbose", 0, NULL, O_VERBOSE },
	{ "name", 1, NULL, O_NAME },
	{ "no-control", 0, NULL, O_NOCONTROL },
	{ "help", 0, NULL, O_HELP },
	{ NULL, 0, NULL, 0 },
};

static int find_name(const char *const *names, unsigned n, const char *s)
{
	for (unsigned i = 0; i < n; i++)
		if (names[i] && strcmp(names[i], s) == 0)
			return (int)i;
	return -1;
}

static int parse_place(struct options *o, char *arg)
{
	static const char *const places[SIO_N_PLACES] = {
		[SIO_PLACE_PCI] = "pci",     [SIO_PLACE_IDE] = "ide",     [SIO_PLACE_PM] = "pm",
		[SIO_PLACE_RTC] = "rtc",     [SIO_PLACE_I8042] = "i8042", [SIO_PLACE_UART] = "uart",
		[SIO_PLACE_PORTS] = "ports", [SIO_PLACE_FWCFG] = "fwcfg", [SIO_PLACE_TEST] = "test",
		[SIO_PLACE_NET] = "net",
	};
	const char *homes[N_HOMES] = { 0 };
	char *save;

	for (unsigned i = 0; i < N_HOMES; i++)
		homes[i] = home_kinds[i] ? home_kinds[i]->name : NULL;
	for (char *p = strtok_r(arg, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(p, '=');
		int place, home;

		if (!eq)
			return bad("--place %s: give DEVICE=HOME", p);
		*eq = 0;
		place = find_name(places, SIO_N_PLACES, p);
		home = find_name(homes, N_HOMES, eq + 1);
		if (place < 0 && strcmp(p, "all"))
			return bad("--place: there is no device %s", p);
		if (home < 0)
			return bad("--place: this program has no home %s", eq + 1);
		for (int i = 0; i < (int)SIO_N_PLACES; i++)
			if (place < 0 || place == i)
				o->place[i] = (uint8_t)home;
	}
	return 0;
}

/* Configuration cycles are forwarded from the firmware's host bridge to others', not the other way. */
static int check_places(const struct options *o)
{
	/* Interrupts of PCI cards go through the ISA bridge's router. */
	for (unsigned i = 0; i < o->n_nets; i++)
		if (o->net[i].model != NETDEV_NE2K_ISA &&
		    o->place[SIO_PLACE_NET] != o->place[SIO_PLACE_PCI])
			return bad("--place: net, with cards on PCI, and pci move only together");
	if (o->place[SIO_PLACE_PCI] == home_default)
		return 0;
	if (o->place[SIO_PLACE_IDE] != o->place[SIO_PLACE_PCI] ||
	    o->place[SIO_PLACE_PM] != o->place[SIO_PLACE_PCI])
		return bad("--place: pci moves only together with ide and pm, its functions");
	return 0;
}

static int parse_fast(struct options *o, char *arg)
{
	static const char *const kinds[32] = {
		[SIO_MAP_POSTED] = "posted",
		[SIO_MAP_SHADOW] = "shadow",
		[SIO_MAP_CLOCK] = "clock",
		[SIO_MAP_DOORBELL] = "doorbell",
		[SIO_MAP_READTHROUGH] = "readthrough",
		[SIO_MAP_FIFO] = "fifo",
		[SIO_MAP_KICK] = "kick",
		[FAST_IRQ] = "irq",
	};
	char *save;

	o->fast = 0;
	for (char *p = strtok_r(arg, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		int kind = find_name(kinds, 32, p);

		if (strcmp(p, "all") == 0)
			o->fast |= FAST_ALL;
		else if (strcmp(p, "default") == 0)
			o->fast |= FAST_DEFAULT;
		else if (kind >= 0)
			o->fast |= 1u << kind;
		else if (strcmp(p, "none"))
			return bad("--fast: there is no fast path %s", p);
	}
	return 0;
}

static int run_main(int argc, char **argv)
{
	static struct options o = { .mem = 512ull << 20,
				    .smp = 1,
				    .console = "stdio",
				    .bios = SEABIOS,
				    .append = "",
				    .fast = FAST_DEFAULT,
				    .spin_us = 5 };
	unsigned long smp, us;
	char *end;
	int c;

	opterr = 0;
	memset(o.place, home_default, sizeof(o.place));
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		switch (c) {
		case O_DISK:
			if (parse_disk(&o, optarg))
				return 2;
			break;
		case O_NET:
			if (parse_net(&o, optarg))
				return 2;
			break;
		case O_BOOT:
			if (strcmp(optarg, "disk") && strcmp(optarg, "net"))
				return bad("--boot %s: give disk or net", optarg);
			o.boot_net = *optarg == 'n';
			break;
		case O_MEM:
			if (parse_size(optarg, &o.mem) || o.mem < 1u << 20 || o.mem % 4096 ||
			    o.mem > 256ull << 30)
				return bad("--mem %s: give 1M to 256G in steps of 4K", optarg);
			break;
		case O_SMP:
			smp = strtoul(optarg, &end, 10);
			if (*end || end == optarg || smp < 1 || smp > SIO_MAX_VCPUS)
				return bad("--smp %s: give 1 to %u", optarg, SIO_MAX_VCPUS);
			o.smp = (unsigned)smp;
			break;
		case O_BIOS: o.bios = optarg; break;
		case O_KERNEL: o.kernel = optarg; break;
		case O_INITRD: o.initrd = optarg; break;
		case O_APPEND: o.append = optarg; break;
		case O_CONSOLE: o.console = optarg; break;
		case O_STATS: o.stats = optarg; break;
		case O_PANIC:
			if (strcmp(optarg, "stop") && strcmp(optarg, "reset"))
				return bad("--on-panic %s: give stop or reset", optarg);
			o.on_panic = *optarg == 'r' ? ON_PANIC_RESET : ON_PANIC_STOP;
			break;
		case O_NOREBOOT: o.no_reboot = true; break;
		case O_MENU: o.boot_menu = true; break;
		case O_DEBUGCON: o.debugcon = "log"; break;
		case O_FIRMWARE: o.firmware = optarg; break;
		case O_PLACE:
			if (parse_place(&o, optarg))
				return 2;
			break;
		case O_FAST:
			if (parse_fast(&o, optarg))
				return 2;
			break;
		case O_IRQCHIP:
			if (strcmp(optarg, "kernel") && strcmp(optarg, "firmware"))
				return bad("--irqchip %s: give kernel or firmware", optarg);
			o.irqchip = *optarg == 'f';
			break;
		case O_SPIN:
			us = strtoul(optarg, &end, 10);
			if (*end || end == optarg || us > 100000)
				return bad("--spin %s: give 0 to 100000 microseconds", optarg);
			o.spin_us = (unsigned)us;
			break;
		case O_TESTDEV: o.testdev = true; break;
		case O_VERBOSE: o.verbose = true; break;
		case O_NAME:
			if (!control_name_ok(optarg))
				return bad(
					"--name %.80s: give up to %u letters, digits, '_', '.' or '-', not a "
					"number",
					optarg, CONTROL_NAME_MAX);
			o.name = optarg;
			break;
		case O_NOCONTROL: o.no_control = true; break;
		case O_HELP: fputs(usage_text, stdout); return 0;
		case ':': return bad("%s needs a value", argv[optind - 1]);
		default: return bad("unknown option %s", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return bad("unexpected argument %s", argv[optind]);
	if (!o.kernel && (o.initrd || *o.append))
		return bad("--initrd and --append go with --kernel");
	if (o.boot_net && !o.n_nets)
		return bad("--boot net needs --net");
	if (!o.kernel && !o.n_disks && !o.boot_net && strcmp(o.bios, SEABIOS) == 0)
		return bad("nothing to boot: give --disk, --kernel or --boot net");
	if (check_places(&o))
		return 2;
	for (unsigned i = 0; i < SIO_N_PLACES; i++)
		if (o.irqchip && o.place[i] != o.place[SIO_PLACE_PCI])
			return bad("--irqchip firmware: all models must live in one home");
	if (o.irqchip && o.fast >> FAST_IRQ & 1)
		return bad("--fast irq is for --irqchip kernel");
	if (!o.firmware)
		o.firmware = default_firmware();
	return domain_run(&o);
}

/* The measurements need guests and QEMU: they are scripts of the source tree that this was built in. */
static int bench_main(char **argv)
{
	char exe[PATH_MAX], path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = 0;
	snprintf(path, sizeof(path), "%s/../bench/run.sh", n > 0 ? dirname(exe) : ".");
	argv[0] = path;
	execv(path, argv);
	msg("bench is part of the source tree (%s is not there): use ./dev bench", path);
	return 2;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "run") == 0)
		return run_main(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "bench") == 0)
		return bench_main(argv + 1);
	if (argc >= 2 && strcmp(argv[1], "stub") == 0)
		return stub_main(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "stat") == 0)
		return stat_main(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "check") == 0)
		return check_main(argc - 1, argv + 1);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("selfio " SELFIO_VERSION);
		return 0;
	}
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (argc >= 2)
		return bad("unknown command %s", argv[1]);
	fputs(usage_text, stderr);
	return 2;
}
