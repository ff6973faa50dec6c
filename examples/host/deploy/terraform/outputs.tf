# What the chart is told, as it stands in its values.

output "role_arn" {
  description = "serviceAccount.roleArn"
  value       = "arn:aws:iam::${var.account}:role/${var.role}"
}

output "certificate_arn" {
  description = "ingress.certificateArn"
  value       = var.certificate_arn
}

output "host" {
  description = "ingress.host"
  value       = var.host
}

output "bucket" {
  description = "titan.aws.clients.scoringBucket.bucketName"
  value       = var.bucket
}

output "repository_url" {
  description = "image.repository, in the environment that makes it"
  value       = one([for images in aws_ecr_repository.images : "${var.account}.dkr.ecr.${var.region}.amazonaws.com/${images.name}"])
}
