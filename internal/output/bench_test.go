package output

import (
	"io"
	"testing"
)

func BenchmarkStream(b *testing.B) {
	for _, format := range []Format{CSV, JSON, Table} {
		b.Run(string(format), func(b *testing.B) {
			const rows = 10_000
			p, err := New(Options{Format: format, Stdout: io.Discard})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				_, err := Stream(p, view, func(yield func(record, error) bool) {
					r := records()[0]
					for i := 0; i < rows && yield(r, nil); i++ {
					}
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
