/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry64.S - a PVH "kernel" in 64-bit mode, memory below 4 GiB mapped one to one, and the firmware's
 * entry of blkfront.c: a loop in 32-bit mode that takes note of events.
 */
	.code32

	.section .note.Xen, "a"
	.long	4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	pvh_start

	.text
	.globl	pvh_start, hypercall_page, fw_entry

pvh_start:
	cld
	mov	$stack_end, %esp
	mov	$pd, %edi	/* 2048 pages of 2 MiB */
	mov	$0x83, %eax
1:	mov	%eax, (%edi)
	add	$0x200000, %eax
	add	$8, %edi
	cmp	$pd + 4 * 4096, %edi
	jne	1b
	movl	$pd + 0x0003, pdpt
	movl	$pd + 0x1003, pdpt + 8
	movl	$pd + 0x2003, pdpt + 16
	movl	$pd + 0x3003, pdpt + 24
	movl	$pdpt + 3, pml4
	lgdt	gdt_ptr
	mov	$0x20, %eax	/* PAE */
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax	/* LME */
	wrmsr
	mov	%cr0, %eax
	or	$0x80000000, %eax
	mov	%eax, %cr0
	ljmp	$0x08, $2f
	.code64
2:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	call	guest_main
	hlt

	/* EBX is the slot's address. */
	.code32
fw_entry:
	mov	%ebx, %esi
	mov	$fw_stack_end, %esp
3:	mov	32(%esi), %eax	/* req.events */
	or	%eax, fw_events
	mov	36(%esi), %eax
	or	%eax, fw_events + 4
	incl	fw_count
	mov	$27, %ebx	/* HVMOP_reflect_return */
	xor	%ecx, %ecx
	call	hypercall_page + 34 * 32 /* the same code in either mode */
	jmp	3b

	.section .rodata
	.balign	8
gdt:	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
gdt_ptr:
	.word	. - gdt - 1
	.long	gdt

	.bss
	.balign	4096
hypercall_page:
	.skip	4096
pml4:	.skip	4096
pdpt:	.skip	4096
pd:	.skip	4 * 4096
	.skip	16384
stack_end:
	.skip	1024
fw_stack_end:
