package placement

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Amounts of resources are int64 in the unit in which Kubernetes' scheduler counts: thousandths of
// a core for cpu, whole units (bytes, devices, pods) for the rest. Values that do not fit saturate,
// negative ones count as 0.

const unlimited = math.MaxInt64

// needed is what a request asks for, rounded up.
func needed(name corev1.ResourceName, q resource.Quantity) int64 {
	if q.Sign() <= 0 {
		return 0
	}
	if name == corev1.ResourceCPU {
		return thousandths(q)
	}
	if q.CmpInt64(math.MaxInt64) >= 0 {
		return unlimited
	}
	return q.Value()
}

// thousandths of a quantity that is not negative, rounded up.
func thousandths(q resource.Quantity) int64 {
	if q.CmpInt64(math.MaxInt64/1000) >= 0 {
		return unlimited
	}
	return q.MilliValue()
}

// offered is what a cluster has, rounded down.
func offered(name corev1.ResourceName, q resource.Quantity) int64 {
	up := needed(name, q)
	if up == 0 || up == unlimited {
		return up
	}
	exact := resource.NewQuantity(up, resource.DecimalSI)
	if name == corev1.ResourceCPU {
		exact = resource.NewMilliQuantity(up, resource.DecimalSI)
	}
	if exact.Cmp(q) > 0 {
		return up - 1
	}
	return up
}

// addAmounts and the like saturate. Their operands are not negative.
func addAmounts(a, b int64) int64 {
	if a > unlimited-b {
		return unlimited
	}
	return a + b
}

func subAmounts(a, b int64) int64 {
	if b >= a {
		return 0
	}
	return a - b
}

func mulAmounts(a, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > unlimited {
		return unlimited
	}
	return int64(lo)
}

// wide is an unsigned 128-bit sum of products of two amounts. It exists because what is charged must
// be taken back exactly, and 10⁹ replicas of 10¹² bytes do not fit 64 bits.
type wide struct{ hi, lo uint64 }

func product(a, b int64) wide {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	return wide{hi, lo}
}

func (w wide) plus(o wide) wide {
	lo, carry := bits.Add64(w.lo, o.lo, 0)
	hi, _ := bits.Add64(w.hi, o.hi, carry)
	return wide{hi, lo}
}

func (w wide) minus(o wide) wide {
	lo, borrow := bits.Sub64(w.lo, o.lo, 0)
	hi, _ := bits.Sub64(w.hi, o.hi, borrow)
	return wide{hi, lo}
}

// String is the sum in decimal.
func (w wide) String() string {
	if w.hi == 0 {
		return strconv.FormatUint(w.lo, 10)
	}
	sum := new(big.Int).SetUint64(w.hi)
	return sum.Lsh(sum, 64).Add(sum, new(big.Int).SetUint64(w.lo)).String()
}

// clamped is the sum as an amount, saturated.
func (w wide) clamped() int64 {
	if w.hi != 0 || w.lo > unlimited {
		return unlimited
	}
	return int64(w.lo)
}
