// What Go programs compute: floats, digests, maps, sorting, garbage, channels. Prints a name and ns for each.
package main

import (
	"crypto/sha256"
	"fmt"
	"math"
	"sort"
	"time"
)

type node struct{ left, right *node }

var sink any

func tree(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{tree(depth - 1), tree(depth - 1)}
}

func floats() {
	x, y, vx, vy := 1.0, 0.0, 0.0, 1.0
	for n := 0; n < 3000000; n++ {
		r := math.Sqrt(x*x + y*y)
		r *= r * r
		vx -= x / r * 0.001
		vy -= y / r * 0.001
		x += vx * 0.001
		y += vy * 0.001
	}
	sink = x
}

func digests() {
	sum := [32]byte{}
	for n := 0; n < 200000; n++ {
		sum = sha256.Sum256(sum[:])
	}
	sink = sum
}

func maps() {
	counts := map[string]int{}
	for n := 0; n < 500000; n++ {
		counts[fmt.Sprint(n*7919%10007)]++
	}
	sink = counts
}

func sorting() {
	numbers := make([]int, 500000)
	for n := range numbers {
		numbers[n] = n * 7919 % 100003
	}
	sort.Ints(numbers)
	sink = numbers
}

func garbage() {
	for n := 0; n < 40; n++ {
		sink = tree(14)
	}
}

func channels() {
	numbers := make(chan int)
	go func() {
		for n := 0; n < 300000; n++ {
			numbers <- n
		}
		close(numbers)
	}()
	total := 0
	for n := range numbers {
		total += n
	}
	sink = total
}

func main() {
	measures := []struct {
		name string
		run  func()
	}{{"floats", floats}, {"digests", digests}, {"maps", maps}, {"sorting", sorting}, {"garbage", garbage}, {"channels", channels}}
	for _, measure := range measures {
		measure.run()
		begun := time.Now()
		for n := 0; n < 3; n++ {
			measure.run()
		}
		fmt.Printf("go-%s %d\n", measure.name, time.Since(begun).Nanoseconds())
	}
}
