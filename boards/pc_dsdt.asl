/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pc_dsdt.asl - the PC board to ACPI: one PCI bus, PIIX3's interrupt router, the ISA devices.
 *
 * References: ACPI 6.4, sections 6 and 19; Intel 82371SB (PIIX3), 2.2.6 PIRQRC[A:D] (60h-63h).
 * Ports and windows here are those of boards/pc.c; the PM block stands in the FADT.
 */
DefinitionBlock ("", "DSDT", 2, "SELFIO", "SELFIOPC", 1)
{
	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0x0000, 0x00FF, 0, 0x0100)
				IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0000, 0x0CF7, 0, 0x0CF8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0D00, 0xFFFF, 0, 0xF300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
					ReadWrite, 0, 0x000A0000, 0x000BFFFF, 0, 0x00020000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
					ReadWrite, 0, 0xC0000000, 0xFEBFFFFF, 0, 0x3EC00000)
			})

			/* Pin p (0-3) of slot s goes to PIRQ (s + p - 1) mod 4, the i440FX board's usual
			 * wiring; all 32 slots, since a table would be ten times as long. */
			Method (_PRT, 0, Serialized)
			{
				Local0 = Package (128) {}
				Local1 = 0
				While (Local1 < 128)
				{
					Local3 = ((Local1 >> 2) + Local1 + 3) & 3
					If (Local1 == 4)
					{
						/* PIIX4 power management, 1.3: the SCI, whatever PIRQA is. */
						Local2 = Package () { 0, 0, LNKS, 0 }
					}
					ElseIf (Local3 == 0) { Local2 = Package () { 0, 0, LNKA, 0 } }
					ElseIf (Local3 == 1) { Local2 = Package () { 0, 0, LNKB, 0 } }
					ElseIf (Local3 == 2) { Local2 = Package () { 0, 0, LNKC, 0 } }
					Else                 { Local2 = Package () { 0, 0, LNKD, 0 } }
					Local2[0] = ((Local1 << 14) & 0x001F0000) | 0xFFFF
					Local2[1] = Local1 & 3
					Local0[Local1] = Local2
					Local1++
				}
				Return (Local0)
			}

			Device (ISA)
			{
				Name (_ADR, 0x00010000)
				OperationRegion (PIRQ, PCI_Config, 0x60, 4)
				Field (PIRQ, ByteAcc, NoLock, Preserve)
				{
					PRQA, 8,
					PRQB, 8,
					PRQC, 8,
					PRQD, 8
				}

				Device (RTC)
				{
					Name (_HID, EisaId ("PNP0B00"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0070, 0x0070, 1, 2)
						IRQNoFlags () { 8 }
					})
				}

				Device (KBD)
				{
					Name (_HID, EisaId ("PNP0303"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0060, 0x0060, 1, 1)
						IO (Decode16, 0x0064, 0x0064, 1, 1)
						IRQNoFlags () { 1 }
					})
				}

				Device (COM1)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 1)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x03F8, 0x03F8, 1, 8)
						IRQNoFlags () { 4 }
					})
				}

				/* Linux: /sys/firmware/qemu_fw_cfg. */
				Device (FWCF)
				{
					Name (_HID, "QEMU0002")
					Name (_STA, 0x0B)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0510, 0x0510, 1, 12)
					})
				}
			}
		}

		/* What a PIRQ route register can be: bit 7 off, bits 0-3 the IRQ. */
		Name (LIRQ, ResourceTemplate ()
		{
			Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 }
		})

		Method (LSTA, 1) { Return (0x0B - ((Arg0 & 0x80) >> 6)) }

		Name (LBUF, ResourceTemplate ()
		{
			Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, , , INT) { 0 }
		})
		CreateDWordField (LBUF, INT._INT, LINT)
		Method (LCRS, 1, Serialized)
		{
			LINT = 0
			If (!(Arg0 & 0x80)) { LINT = Arg0 & 0x0F }
			Return (LBUF)
		}

		Method (LSRS, 1)
		{
			CreateDWordField (Arg0, 5, IRQW)
			Return (IRQW)
		}

		Device (LNKA)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 0)
			Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQA)) }
			Method (_PRS) { Return (LIRQ) }
			Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQA)) }
			Method (_SRS, 1) { \_SB.PCI0.ISA.PRQA = LSRS (Arg0) }
			Method (_DIS) { \_SB.PCI0.ISA.PRQA |= 0x80 }
		}

		Device (LNKB)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 1)
			Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQB)) }
			Method (_PRS) { Return (LIRQ) }
			Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQB)) }
			Method (_SRS, 1) { \_SB.PCI0.ISA.PRQB = LSRS (Arg0) }
			Method (_DIS) { \_SB.PCI0.ISA.PRQB |= 0x80 }
		}

		Device (LNKC)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 2)
			Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQC)) }
			Method (_PRS) { Return (LIRQ) }
			Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQC)) }
			Method (_SRS, 1) { \_SB.PCI0.ISA.PRQC = LSRS (Arg0) }
			Method (_DIS) { \_SB.PCI0.ISA.PRQC |= 0x80 }
		}

		Device (LNKD)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 3)
			Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQD)) }
			Method (_PRS) { Return (LIRQ) }
			Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQD)) }
			Method (_SRS, 1) { \_SB.PCI0.ISA.PRQD = LSRS (Arg0) }
			Method (_DIS) { \_SB.PCI0.ISA.PRQD |= 0x80 }
		}

		/* The SCI cannot be moved. */
		Device (LNKS)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 4)
			Name (_STA, 0x0B)
			Name (_PRS, ResourceTemplate ()
			{
				Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 9 }
			})
			Method (_CRS) { Return (_PRS) }
			Method (_SRS, 1) {}
			Method (_DIS) {}
		}
	}

	/* Soft off: SLP_TYP 0 in PIIX4's PMCNTRL.  No S3 or S4. */
	Name (\_S5, Package (4) { 0, 0, 0, 0 })
}
