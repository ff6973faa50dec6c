# The name, once there is a load balancer behind it. Where the cluster writes its names itself, leave zone_id away.

resource "aws_route53_record" "service" {
  count   = var.zone_id != null && var.load_balancer != null ? 1 : 0
  zone_id = var.zone_id
  name    = var.host
  type    = "CNAME"
  # Callers keep names for as long: 60,000 ms.
  ttl     = 60
  records = [var.load_balancer]
}
