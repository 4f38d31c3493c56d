package fault

import "strconv"

// Plural counts things in English, with commas between thousands: "1 row", "4,683 rows".
func Plural[N int | int64](n N, thing string) string {
	digits := strconv.FormatInt(int64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n != 1 {
		thing += "s"
	}
	return digits + " " + thing
}
