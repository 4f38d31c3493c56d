package fault

import "strconv"

// Plural counts things in English, with commas between thousands: "1 row", "4,683 rows".
func Plural[N int | int64](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return Thousands(strconv.FormatInt(int64(n), 10)) + " " + thing
}

// Thousands puts commas between the thousands of a number without a sign.
func Thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
