/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * linuxboot.S - the option ROM that boots a Linux kernel from fw_cfg.
 *
 * References: Plug and Play BIOS Specification 1.0A, section 3 (option ROM header, BEV); the
 * Linux/x86 boot protocol (Documentation/arch/x86/boot.rst), "Running the kernel"; QEMU,
 * docs/specs/fw_cfg (DMA interface).
 *
 * Everything is prepared on the other side of fw_cfg (pc_linux.c): four pieces, each with its
 * address, size and data.  All that is done here is to move them into guest RAM by DMA, which
 * reaches all of it from real mode, and to enter the kernel's real-mode code.
 * blob.py pads the ROM to 512 bytes and fills in the two checksums.
 */
	.code16
	.text
	.globl	_start

#define FW_CFG_DMA_LO	0x518	/* the lower half starts the transfer; the upper one is 0 */
#define DMA_ERROR	1
#define DMA_READ	2
#define DMA_SELECT	8
#define CHUNK		0x400000	/* bytes at a time, so that no transfer takes seconds */

/* Keys of fw_cfg; a piece's address, size and data. */
#define KERNEL_ADDR	0x07
#define KERNEL_SIZE	0x08
#define KERNEL_DATA	0x11
#define INITRD_ADDR	0x0a
#define INITRD_SIZE	0x0b
#define INITRD_DATA	0x12
#define CMDLINE_ADDR	0x13
#define CMDLINE_SIZE	0x14
#define CMDLINE_DATA	0x15
#define SETUP_ADDR	0x16
#define SETUP_SIZE	0x17
#define SETUP_DATA	0x18

/* In segment 0, where a boot sector would be loaded; the stack grows down from there. */
#define STACK	0x7c00
#define DMA	0x7c00	/* control, length, address (8 bytes), big-endian */
#define VALUE	0x7c10

#define HEAP_END_PTR	0x224	/* in the setup header: end of heap, less 200h */

_start:
	.word	0xaa55
	.byte	0			/* blocks of 512 bytes: blob.py */
	lretw				/* nothing to initialise */
	.org	0x18
	.word	0			/* no PCI data structure */
	.word	pnp
	.balign	16
pnp:
	.ascii	"$PnP"
	.byte	1			/* revision */
	.byte	(pnp_end - pnp) / 16
	.word	0			/* no further header */
	.byte	0
	.byte	0			/* checksum: blob.py */
	.long	0			/* device */
	.word	0			/* manufacturer */
	.word	product
	.byte	0, 0, 0			/* class */
	.byte	0			/* indicators */
	.word	0			/* no boot connection vector */
	.word	0			/* no disconnect vector */
	.word	bev
	.word	0
	.word	0
pnp_end:

product:
	.asciz	"Linux kernel (fw_cfg)"
failure:
	.asciz	"The kernel could not be loaded through fw_cfg.\r\n"

bev:
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$STACK, %sp
	sti

	movw	$pieces, %si
1:	call	load
	cmpw	$pieces_end, %si
	jb	1b

	/* The last piece was the setup code: its address is still in EBX. */
	cli
	shrl	$4, %ebx
	movw	%bx, %ds
	movw	HEAP_END_PTR, %bp
	addw	$0x200, %bp
	movw	%bx, %es
	movw	%bx, %fs
	movw	%bx, %gs
	movw	%bx, %ss
	movzwl	%bp, %esp
	addw	$0x20, %bx
	pushw	%bx
	pushw	$0
	lretw

/* Loads the piece at CS:SI, moves SI to the next.  EBX is its address; EAX, ECX, EDX, EDI change. */
load:
	call	get
	movl	VALUE, %ebx
	call	get
	movl	VALUE, %edi		/* bytes to go */
	call	key
	movl	%ebx, %edx		/* where to */
2:	testl	%edi, %edi
	jz	3f
	movl	$CHUNK, %ecx
	cmpl	%ecx, %edi
	jae	1f
	movl	%edi, %ecx
1:	subl	%ecx, %edi
	call	dma
	addl	%ecx, %edx
	movl	$DMA_READ, %eax		/* and go on where that ended */
	jmp	2b
3:	ret

/* Reads the number whose key is at CS:SI++ to VALUE. */
get:
	call	key
	movl	$4, %ecx
	movl	$VALUE, %edx
	jmp	dma

/* EAX: the control word that selects the key at CS:SI++ and reads. */
key:
	xorl	%eax, %eax
	lodsb	%cs:(%si), %al
	shll	$16, %eax
	movb	$DMA_READ | DMA_SELECT, %al
	ret

/* Transfers ECX bytes to EDX with control word EAX; EAX changes. */
dma:
	pushl	%edx
	bswapl	%eax
	movl	%eax, DMA
	movl	%ecx, %eax
	bswapl	%eax
	movl	%eax, DMA + 4
	movl	$0, DMA + 8
	bswapl	%edx
	movl	%edx, DMA + 12
	movl	$DMA, %eax
	bswapl	%eax
	movw	$FW_CFG_DMA_LO, %dx
	outl	%eax, %dx
1:	movl	DMA, %eax		/* all 0: done; the error bit alone: failed */
	bswapl	%eax
	testl	%eax, %eax
	jz	2f
	cmpl	$DMA_ERROR, %eax
	jne	1b
	jmp	fail
2:	popl	%edx
	ret

fail:
	movw	$failure, %si
1:	lodsb	%cs:(%si), %al
	testb	%al, %al
	jz	2f
	movb	$0x0e, %ah
	movw	$7, %bx
	int	$0x10
	jmp	1b
2:	int	$0x18			/* the BIOS tries the next device */
	hlt
	jmp	2b

pieces:
	.byte	CMDLINE_ADDR, CMDLINE_SIZE, CMDLINE_DATA
	.byte	KERNEL_ADDR, KERNEL_SIZE, KERNEL_DATA
	.byte	INITRD_ADDR, INITRD_SIZE, INITRD_DATA
	.byte	SETUP_ADDR, SETUP_SIZE, SETUP_DATA
pieces_end:
