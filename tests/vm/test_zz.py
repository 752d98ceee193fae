from vm import test
from test_disk import diskmix
@test("zz-mix", cost=600)
def zz(t):
    diskmix(t, 20000, 4, 32, 7, smp=2, append="loglevel=8", more=["--verbose"], limit=800)
