/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry.S - the two ways into the image: as the kernel of a PVH domain, where it was loaded, and as the
 * firmware's context of a vCPU, in private memory; and the way out, to the BIOS.
 */
#include "firmware/metal/layout.h"

#define BIOS_HOP 0x7000	/* real-mode code runs here, once */

	.section .note.Xen, "a", @note
	.balign 4
	.long	4, 4, 18	/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	xen_pvh_entry

	.section .text.entry, "ax"
	.code32
	.globl	_start, pvh_start, xen_entry
_start:
	/* EBX: struct hvm_start_info. */
pvh_start:
	cli
	cld
	movl	$xen_boot_stack, %esp
	xorl	%esi, %esi
	call	cpu_enter64
	.code64
	xorl	%ebp, %ebp
	movq	%rbx, %rdi
	call	xen_boot
	ud2

	/* include/sio/xen.h: EAX magic, EBX the slot, ECX the vCPU. Behind its operations a slot has room. */
	.code32
xen_entry:
	cmpl	$0x584f4953, %eax
	jne	1f
	leal	4096(%ebx), %esp
	movl	%ecx, %esi
	call	cpu_enter64
	.code64
	xorl	%ebp, %ebp
	movl	%esi, %edi
	call	fw_start
1:	ud2

	.text
	/* void xen_to_bios(void): a processor's state after reset, as far as a BIOS looks. */
	.globl	xen_to_bios
xen_to_bios:
	leaq	hop(%rip), %rsi
	movl	$BIOS_HOP, %edi
	movl	$hop_end - hop, %ecx
	rep movsb
	lgdt	BIOS_HOP + hop_gdtr - hop
	pushq	$8
	pushq	$BIOS_HOP
	lretq
	/* Position-dependent, at BIOS_HOP. */
#define at(x) (BIOS_HOP + (x) - hop)
	.code32
hop:	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movl	%cr0, %eax		/* out of long mode: still flat */
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0
	movl	$0xc0000080, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	movl	%eax, %cr4
	movl	%eax, %cr3
	lidt	at(hop_idtr)
	ljmp	$0x10, $at(hop16)
	.code16
hop16:	movl	$0x00000010, %eax	/* CR0 after reset; caches on */
	movl	%eax, %cr0
	ljmp	$0, $at(hop_real)
hop_real:
	xorl	%eax, %eax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	movw	%ax, %ss
	movl	%eax, %ebx
	movl	%eax, %ecx
	movl	%eax, %edx
	movl	%eax, %esi
	movl	%eax, %edi
	movl	%eax, %ebp
	movl	%eax, %esp
	ljmp	$0xf000, $0xfff0
	.balign 8
hop_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 08h flat code */
	.quad	0x00009b000000ffff	/* 10h 16-bit code */
	.quad	0x000093000000ffff	/* 18h 16-bit data */
hop_gdtr:
	.word	hop_gdtr - hop_gdt - 1
	.quad	at(hop_gdt)
hop_idtr:
	.word	0x3ff
	.long	0
hop_end:

	.bss
	.balign 4096
	.globl	xen_hypercall_page, xen_slots, xen_shared, xen_shared_info
xen_hypercall_page: .skip 4096
xen_shared: .skip 4096
xen_shared_info: .skip 4096
xen_slots: .skip 4096 * (MAX_CONTEXTS - 1)

	.section .note.GNU-stack, "", @progbits
