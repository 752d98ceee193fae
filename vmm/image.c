/* SPDX-License-Identifier: BSD-2-Clause */
/* image.c - the firmware's ELF64 image, which is untrusted like all that is the guest's. */
#include <elf.h>
#include <string.h>

#include "vmm/domain.h"

static bool inside(uint64_t off, uint64_t len, uint64_t total)
{
	return off <= total && len <= total - off;
}

/* The ABI version in the image's note; 0: none. */
static uint32_t note_version(const uint8_t *f, size_t n, const Elf64_Phdr *ph)
{
	Elf64_Nhdr nh;
	uint32_t v;
	const size_t name = sizeof(SIO_NOTE_NAME), padded = (name + 3) & ~3u;

	if (!inside(ph->p_offset, ph->p_filesz, n) || ph->p_filesz < sizeof(nh) + padded + 4)
		return 0;
	memcpy(&nh, f + ph->p_offset, sizeof(nh));
	if (nh.n_namesz != name || nh.n_descsz != 4 || nh.n_type != SIO_NOTE_ABI ||
	    memcmp(f + ph->p_offset + sizeof(nh), SIO_NOTE_NAME, name) != 0)
		return 0;
	memcpy(&v, f + ph->p_offset + sizeof(nh) + padded, 4);
	return v;
}

int image_load(struct home *h, const uint8_t *f, size_t n, uint64_t *entry, char *err,
	       size_t errlen)
{
	uint64_t room = h->priv_size - SIO_IMAGE_OFF, end = 0;
	uint32_t version = 0;
	Elf64_Ehdr eh;

	if (n < sizeof(eh))
		goto not_elf;
	memcpy(&eh, f, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_machine != EM_X86_64 || eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phnum > 16 ||
	    !inside(eh.e_phoff, eh.e_phnum * sizeof(Elf64_Phdr), n))
		goto not_elf;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, f + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_NOTE && !version)
			version = note_version(f, n, &ph);
		if (ph.p_type != PT_LOAD)
			continue;
		if (!inside(ph.p_offset, ph.p_filesz, n) || ph.p_filesz > ph.p_memsz ||
		    !inside(ph.p_vaddr, ph.p_memsz, room)) {
			snprintf(err, errlen,
				 "a segment of %llu bytes does not fit into private memory",
				 (unsigned long long)ph.p_memsz);
			return -1;
		}
		memcpy(h->priv + SIO_IMAGE_OFF + ph.p_vaddr, f + ph.p_offset, ph.p_filesz);
		if (ph.p_vaddr + ph.p_memsz > end)
			end = ph.p_vaddr + ph.p_memsz;
	}
	if (version != SIO_ABI_VERSION) {
		snprintf(err, errlen,
			 "it is built for ABI version %u, this selfio has %u: rebuild both",
			 version, SIO_ABI_VERSION);
		return -1;
	}
	if (eh.e_entry >= end) {
		snprintf(err, errlen, "its entry point lies outside its segments");
		return -1;
	}
	h->image_len = (uint32_t)((end + 4095) & ~4095ull);
	*entry = SIO_PRIV_BASE + SIO_IMAGE_OFF + eh.e_entry;
	return 0;
not_elf:
	snprintf(err, errlen, "it is not a 64-bit x86 ELF image");
	return -1;
}
