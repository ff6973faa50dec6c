# The images: those of the service, and those of the features under the same tags with -features behind them.

resource "aws_ecr_repository" "images" {
  count                = var.owns_registry ? 1 : 0
  name                 = "titan/code-service"
  image_tag_mutability = "IMMUTABLE"
  image_scanning_configuration {
    scan_on_push = true
  }
  encryption_configuration {
    encryption_type = "AES256"
  }
}

resource "aws_ecr_lifecycle_policy" "images" {
  count      = var.owns_registry ? 1 : 0
  repository = aws_ecr_repository.images[0].name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "What lost its tag goes after a week"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 7 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Of the features the last 30"
        selection    = { tagStatus = "tagged", tagPatternList = ["*-features"], countType = "imageCountMoreThan", countNumber = 30 }
        action       = { type = "expire" }
      },
      # An image for several platforms is an index with a tag, and several without, which ECR keeps for as long as it has
      # the index. Only tags are counted, or 200 would be a few dozen releases.
      {
        rulePriority = 3
        description  = "Of all tags, those of the features among them, the last 200"
        selection    = { tagStatus = "tagged", tagPatternList = ["*"], countType = "imageCountMoreThan", countNumber = 200 }
        action       = { type = "expire" }
      },
    ]
  })
}

resource "aws_ecr_repository_policy" "images" {
  count      = var.owns_registry && length(var.pull_accounts) > 0 ? 1 : 0
  repository = aws_ecr_repository.images[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "PullFromOtherAccounts"
      Effect    = "Allow"
      Principal = { AWS = [for account in var.pull_accounts : "arn:aws:iam::${account}:root"] }
      Action    = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
  })
}
